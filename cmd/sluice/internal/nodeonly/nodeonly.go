// Package nodeonly replaces the commands that run on a node or in a pod in programs for platforms other
// than Linux.
package nodeonly

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
)

// names lists the commands that only programs for Linux contain.
var names = []string{"agent", "compile", "dataplane", "health", "operator"}

// Commands returns a hidden command for each command that only programs for Linux contain. It
// accepts all arguments, and fails.
func Commands() []*cobra.Command {
	var commands []*cobra.Command
	for _, name := range names {
		commands = append(commands, &cobra.Command{
			Use:                name,
			Hidden:             true,
			DisableFlagParsing: true,
			RunE:               func(cmd *cobra.Command, _ []string) error { return Error(cmd.CommandPath()) },
		})
	}
	return commands
}

// Error returns an error for a command or a flag that works only on Linux.
func Error(name string) error {
	return input.Errorf("%s works only on Linux, on a node or in a pod", name)
}
