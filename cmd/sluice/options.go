package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
)

// optionsWidth is the maximum width of the list of flags, in columns.
const optionsWidth = 100

func optionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "options",
		Short: "List kubectl's flags for connections, which other commands have",
		Long: `Lists the flags that select a cluster, a user and the details of the connection. All
commands that can read a cluster have these flags, with the same effects as in kubectl.
Their help lists only the flags that most users need.`,
		Example: `  sluice options
  sluice status --context production --as admin --request-timeout 10s`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return input.WriteConnectionFlags(cmd.OutOrStdout(), optionsWidth)
		},
	}
}
