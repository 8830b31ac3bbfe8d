package main

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/completion"
	"github.com/sluicenet/sluice/cmd/sluice/internal/scope"
)

// pluginName is the file name with which kubectl finds the program as a plugin.
const pluginName = "kubectl-sluice"

// isPlugin reports whether the program was started as a kubectl plugin. The `name` parameter is
// the path with which the program was started. On Windows, the path may contain upper-case letters.
func isPlugin(name string) bool {
	return strings.TrimSuffix(strings.ToLower(filepath.Base(name)), ".exe") == pluginName
}

// pluginCommand returns the root command of the kubectl plugin. The plugin contains only the
// commands that can read a cluster.
func pluginCommand() *cobra.Command {
	root := newRoot()
	root.Short = "Explain what NetworkPolicies do in this cluster, and show whether they are enforced"
	root.Long = `Explains what NetworkPolicies do in the cluster of the kubeconfig, with the same
compiled tree as a node uses for packets, and shows what Sluice enforces there.`
	root.Example = `  sluice explain --from web --to shop/db-0 --port 5432
  sluice matrix --port 5432 -n shop
  sluice check
  sluice status
  sluice flows --denied -n shop`
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl sluice"}
	root.AddCommand(
		endsAtOnce(explainCommand()),
		endsAtOnce(matrixCommand()),
		endsAtOnce(lintCommand()),
		diffCommand(),
		endsAtOnce(statusCommand(scope.Cluster)),
		flowsCommand(scope.Cluster),
		uiCommand(),
		endsAtOnce(hitsCommand(scope.Cluster)),
		endsAtOnce(checkCommand()),
		endsAtOnce(sysdumpCommand()),
		endsAtOnce(evaluateCommand()),
		endsAtOnce(versionCommand()),
		endsAtOnce(optionsCommand()),
		endsAtOnce(completionCommand("kubectl")),
	)
	completion.Register(root)
	renameIn(root)
	for _, cmd := range root.Commands() {
		renameIn(cmd)
	}
	return root
}

// call matches the program name sluice at the beginning of a command line or after a pipe.
var call = regexp.MustCompile(`(?m)(^\s*|\| )sluice `)

// renameIn replaces "sluice" with "kubectl sluice" in the examples of a command.
func renameIn(cmd *cobra.Command) {
	cmd.Example = call.ReplaceAllString(cmd.Example, "${1}kubectl sluice ")
}
