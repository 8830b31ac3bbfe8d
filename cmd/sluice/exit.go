package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/query"
)

// These are the exit codes of the program.
const (
	exitDone       = 0
	exitFailed     = 1
	exitWrongInput = 2
)

// wrongf returns an input.Error. The message explains what the user should specify instead.
func wrongf(format string, args ...any) error { return input.Errorf(format, args...) }

// exitCode returns the exit code for an error, and writes the error message to stderr.
func exitCode(err error, stderr io.Writer) int {
	var wrong input.Error
	var question *query.InputError
	var manifests inventory.Errors
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, output.ErrReported):
		return exitFailed
	case errors.As(err, &manifests):
		fmt.Fprintln(stderr, manifests)
		return exitWrongInput
	case errors.As(err, &question):
		fmt.Fprintln(stderr, flagMessage(question))
		return exitWrongInput
	case errors.As(err, &wrong):
		fmt.Fprintln(stderr, err)
		return exitWrongInput
	default:
		fmt.Fprintln(stderr, "sluice:", err)
		return exitFailed
	}
}

// flagMessage returns the message of an error in the user's question. If the error concerns one
// field of the question, the message starts with the flag for this field, such as --from.
func flagMessage(e *query.InputError) string {
	if e.Field == "" {
		return e.Error()
	}
	return "--" + e.Error()
}

// wrongFlag returns an input.Error for a flag that cobra cannot parse.
func wrongFlag(cmd *cobra.Command, err error) error {
	return wrongf("%w; see %s --help", err, cmd.CommandPath())
}

// noArguments returns an input.Error if the command line contains arguments other than flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return wrongf("%s takes no argument %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

// unknownCommand returns an input.Error if the first argument is not the name of a command. If
// there are no arguments, it shows the help.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	hint := "see " + cmd.CommandPath() + " --help"
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return wrongf("unknown command %q; %s", args[0], hint)
}
