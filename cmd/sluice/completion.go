package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/completion"
)

const completionExample = `  sluice completion bash > /etc/bash_completion.d/sluice
  sluice completion zsh > "${fpath[1]}/_sluice"
  sluice completion fish > ~/.config/fish/completions/sluice.fish
  sluice completion powershell | Out-String | Invoke-Expression`

const pluginCompletionExample = `  sluice completion kubectl > /usr/local/bin/kubectl_complete-sluice
  chmod +x /usr/local/bin/kubectl_complete-sluice`

// completionCommand returns a command that writes the completion script for one of the shells.
func completionCommand(shells ...string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "completion " + strings.Join(shells, "|"),
		Short: "Write a script for the completion of command lines in a shell",
		Long: `Writes a script that completes commands, flags and values in a shell. It completes names of
namespaces, pods, workloads, Services and nodes of the selected cluster, or of the
manifests of -f, and output formats and names of checks.

The script for kubectl is the program kubectl_complete-sluice. kubectl runs this program
to complete the arguments of "kubectl sluice", in every shell for which the completion
of kubectl is set up.`,
		Example:   completionExample,
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(shells, args[0]) {
				return wrongf("%s: give one of %s; see %s --help", cmd.CommandPath(), strings.Join(shells, ", "), cmd.CommandPath())
			}
			return completion.WriteScript(cmd.Root(), args[0], cmd.OutOrStdout())
		},
	}
	if len(shells) == 1 {
		cmd.Example = pluginCompletionExample
	}
	return cmd
}
