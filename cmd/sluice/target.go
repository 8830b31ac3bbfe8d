package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/query"
)

// addTargetFlags adds the flags --port and --protocol to a command. The `port` parameter is the
// help text of --port.
func addTargetFlags(cmd *cobra.Command, t *query.Target, port string) {
	cmd.Flags().StringVar(&t.Port, "port", "", port)
	cmd.Flags().StringVar(&t.Protocol, "protocol", "TCP", "protocol `name` (TCP, UDP, SCTP, ICMP) or number")
}
