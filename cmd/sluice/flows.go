package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/flows"
	"github.com/sluicenet/sluice/cmd/sluice/internal/scope"
)

const nodeFlowsHelp = `It shows the flows of the dataplane of this node. With --kubeconfig, --context or
--node it shows those of the nodes of a cluster.`

const clusterFlowsHelp = `It shows the flows of all nodes or of those of --node, and begins each line with the node.
That needs the right to watch nodeflows.observe.policy.sluice.dev. Before it opens more
than 50 streams, it requests a confirmation.`

func flowsCommand(s scope.Scope) *cobra.Command {
	var flags flows.Flags
	help := nodeFlowsHelp
	if s == scope.Cluster {
		help = clusterFlowsHelp
	}
	cmd := &cobra.Command{
		Use:   "flows",
		Short: "Show flows as they are evaluated, and which rules decide",
		Long: `Shows the first packet of each flow as a dataplane evaluates it from now on: the
time, the verdict, both ends, and the rule that decided or the policies that isolate
the pod. Later packets of an accepted connection are not evaluated and not shown.

` + help + `

Under load it is a sample, and a line reports the number of flows that are not shown.
It never slows down the dataplane. Press Ctrl-C to stop it.`,
		Example: `  sluice flows --denied -n shop
  sluice flows -c 100 -o json | jq -r 'select(.verdict == "Deny") | .ingress.isolatedBy[]?'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.Write(cmd, s) },
	}
	flags.AddTo(cmd, s)
	return cmd
}
