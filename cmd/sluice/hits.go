package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/scope"
	"github.com/sluicenet/sluice/cmd/sluice/internal/usage"
)

func hitsCommand(s scope.Scope) *cobra.Command {
	var flags usage.Flags
	cmd := &cobra.Command{
		Use:   "hits",
		Short: "Show how often each rule is used, and which rules were never used",
		Long: `Shows how often each rule of a policy decided the first packet of a flow, the time of
its last decision, and the time since which the nodes count. For each NetworkPolicy it
also shows how many packets were denied because no rule matched.

It adds up the counters of all nodes of the cluster. That needs the rights to list
policies and nodeenforcers.policy.sluice.dev, and to get
nodestatuses.observe.policy.sluice.dev. The exit code is 1 if a node does not respond.
With --state-dir it shows the counters of the dataplane of this node.

The counters of a node start at 0 when its dataplane starts. If a rule is edited, its
counter starts at 0. Flows that the kernel accepts without an evaluation are not counted.`,
		Example: `  sluice hits -n shop
  sluice hits --unused
  sluice hits -o json | jq '.rules[] | select(.count == 0) | .policy'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.Write(cmd, s) },
	}
	flags.AddTo(cmd, s)
	return cmd
}
