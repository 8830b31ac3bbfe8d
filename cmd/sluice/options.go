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
		Short: "List kubectl's connection flags, which most commands accept",
		Long: `Lists kubectl's flags that select a cluster, a user and the details of the connection.
Each command that can read a cluster accepts these flags, with the same effects as in
kubectl. The help of such a command lists only the flags that most users need.`,
		Example: `  sluice options
  sluice status --context production --as admin --request-timeout 10s`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return input.WriteConnectionFlags(cmd.OutOrStdout(), optionsWidth)
		},
	}
}
