package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/inventory"
)

// The exit codes.
const (
	exitDone       = 0
	exitFailed     = 1
	exitWrongInput = 2
)

// inputError is an error in what the user gave: a flag, a manifest, a flow.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

// wrongf makes a inputError. The message says what to give instead.
func wrongf(format string, args ...any) error {
	return inputError{fmt.Errorf(format, args...)}
}

// errAnswered ends a command with exit code 1 that has already said why on its
// output, such as lint with its findings.
var errAnswered = errors.New("the output says what was found")

// exitCode prints an error and gives the exit code it stands for.
func exitCode(err error, stderr io.Writer) int {
	var wrong inputError
	var faults inventory.Errors
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errAnswered):
		return exitFailed
	case errors.As(err, &faults):
		fmt.Fprintln(stderr, faults)
		return exitWrongInput
	case errors.As(err, &wrong):
		fmt.Fprintln(stderr, err)
		return exitWrongInput
	default:
		fmt.Fprintln(stderr, "sluice:", err)
		return exitFailed
	}
}

// wrongFlag is what cobra calls for a flag it does not know or cannot read.
func wrongFlag(cmd *cobra.Command, err error) error {
	return wrongf("%w; see %s --help", err, cmd.CommandPath())
}

// noArguments refuses arguments that are no flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return wrongf("%s takes no argument %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

// unknownCommand runs when no subcommand was named.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	hint := "see " + cmd.CommandPath() + " --help"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return wrongf("unknown command %q; %s", args[0], hint)
}
