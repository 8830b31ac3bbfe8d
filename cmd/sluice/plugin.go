package main

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// pluginName is the file name by which kubectl finds the program.
const pluginName = "kubectl-sluice"

// place is where status and flows look when no flag says it.
type place int

const (
	// thisNode: at the dataplane of this node.
	thisNode place = iota
	// liveCluster: at the cluster of the kubeconfig.
	liveCluster
)

// isPlugin reports whether kubectl runs the program, by its name.
func isPlugin(name string) bool {
	return strings.TrimSuffix(filepath.Base(name), ".exe") == pluginName
}

// pluginCommand is the program as a plugin of kubectl: the commands that ask a
// cluster.
func pluginCommand() *cobra.Command {
	root := newRoot()
	root.Short = "Tell what NetworkPolicies do in this cluster, and whether they are enforced"
	root.Long = `Tells what NetworkPolicies do in the cluster of the kubeconfig, through the same
compiled tree that packets are judged by, and what Sluice enforces there.`
	root.Example = `  sluice explain --from web --to shop/db-0 --port 5432
  sluice matrix --port 5432 -n shop
  sluice status
  sluice flows --denied -n shop`
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl sluice"}
	root.AddCommand(
		endsAtOnce(explainCommand()),
		endsAtOnce(matrixCommand()),
		endsAtOnce(lintCommand()),
		endsAtOnce(statusCommand(liveCluster)),
		flowsCommand(liveCluster),
		endsAtOnce(evaluateCommand()),
	)
	renameIn(root)
	for _, cmd := range root.Commands() {
		renameIn(cmd)
	}
	return root
}

// call is the program called in an example, at the beginning of a line or of a
// part of a pipe.
var call = regexp.MustCompile(`(?m)(^\s*|\| )sluice `)

// renameIn makes the examples of a command those of the plugin.
func renameIn(cmd *cobra.Command) {
	cmd.Example = call.ReplaceAllString(cmd.Example, "${1}kubectl sluice ")
}
