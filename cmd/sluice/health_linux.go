package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/internal/health"
)

// healthCommand returns the command that the kubelet runs to check a container. The
// containers of Sluice serve health checks on unix sockets, because two pods in the host
// network cannot listen on the same TCP port.
func healthCommand() *cobra.Command {
	var ready bool
	cmd := &cobra.Command{
		Use:    "health ADDRESS",
		Hidden: true, // Only the kubelet runs the command.
		Short:  "Check the agent, the dataplane or the operator that listens on a health address",
		Long: `Requests /healthz, or /readyz if you give --ready, from the health address of a running agent,
dataplane or operator. If the check fails, the command fails and prints the reason.`,
		Example: `  sluice health unix:/run/health/agent.sock
  sluice health --ready 127.0.0.1:8081`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			return health.Check(cmd.Context(), args[0], path)
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "check whether the process is ready, not only alive")
	return cmd
}
