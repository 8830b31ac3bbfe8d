package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/difference"
)

func diffCommand() *cobra.Command {
	var flags difference.Flags
	cmd := &cobra.Command{
		Use:   "diff [-f DIR] [--delete POLICY] [--base DIR]",
		Short: "Show which flows a change of policies would allow or deny",
		Long: `Compares what the policies allow now with what they would allow if you applied the
manifests of -f and deleted the policies of --delete. For each pair of workloads, and
for addresses outside the cluster, it shows which ports would be gained or lost, and by
which rule. It changes nothing and enforces nothing.

On a cluster with Sluice, it also lists the open connections that would be cut. With
--watch, it then follows the flows of all nodes for the given time, and evaluates each
flow with the policies before and after the change. That needs the rights to get
nodeconnections and to watch nodeflows of observe.policy.sluice.dev.

The current state is the cluster of the kubeconfig, or the manifests of --base. The
pod template of a workload without pods counts as a pod.

The exit code is 0, whether verdicts change or not. With --exit-code it is 1 if a
verdict changes, as in git diff --exit-code.`,
		Example: `  sluice diff -f new/
  sluice diff --delete shop/allow-all --watch 10m
  sluice diff --base current/ -f new/ --exit-code
  sluice diff -f new/ -o json | jq -r '.changes[] | select(.effect == "Lose") | .to[]'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.Write(cmd) },
	}
	flags.AddTo(cmd)
	return cmd
}
