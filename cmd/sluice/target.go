package main

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// target is the --port and --protocol flags.
type target struct {
	port     string
	protocol string
}

func (t *target) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.port, "port", "", "destination port, a `number`; ICMP and the like have none")
	cmd.Flags().StringVar(&t.protocol, "protocol", "TCP", "`protocol`: TCP, UDP, SCTP, ICMP or a number")
}

// numbers gives the protocol and the port, -1 for a protocol without ports.
func (t *target) numbers() (flow.Protocol, int, error) {
	f, err := t.flow(&end{Address: netip.IPv4Unspecified()}, &end{Address: netip.IPv4Unspecified()})
	if err != nil {
		return 0, 0, err
	}
	if !f.Protocol.HasPorts() {
		return f.Protocol, -1, nil
	}
	return f.Protocol, int(f.DstPort), nil
}

// flow makes the flow between the ends. A port may be given by the name that
// the receiving pod has for it.
func (t *target) flow(from, to *end) (flow.Flow, error) {
	protocol, err := flow.ParseProtocol(t.protocol)
	if err != nil {
		return flow.Flow{}, inputError{fmt.Errorf("--protocol: %w", err)}
	}
	port := -1
	if t.port != "" && protocol.HasPorts() {
		if port, err = t.number(to, protocol); err != nil {
			return flow.Flow{}, err
		}
	}
	if protocol.HasPorts() && port < 0 {
		return flow.Flow{}, wrongf("--port is missing: %s needs the destination's port", protocol)
	}
	f, err := newFlow(from.Address, to.Address, protocol, port)
	if err != nil {
		return flow.Flow{}, inputError{err}
	}
	return f, nil
}

func (t *target) number(to *end, protocol flow.Protocol) (int, error) {
	if n, err := strconv.ParseUint(t.port, 10, 16); err == nil {
		return int(n), nil
	}
	for _, p := range to.ports {
		if p.Name == t.port && p.Protocol == uint8(protocol) {
			return int(p.Number), nil
		}
	}
	var names []string
	for _, p := range to.ports {
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return 0, wrongf("--port %s: want a number from 0 to 65535", t.port)
	}
	return 0, wrongf("--port %s: want 0 to 65535, or one of the port names that %s has: %s", t.port, to, few(names))
}
