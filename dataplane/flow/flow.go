// Package flow has the type that every part of Sluice shares: the 5-tuple of a
// connection, as it is in the first packet after DNAT and before masquerade. The
// package depends neither on Kubernetes nor on the kernel.
package flow

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Protocol is an IP protocol number as assigned by IANA. In IPv6 it is the number
// that follows the last extension header.
type Protocol uint8

// The protocols that have a name in Sluice. Every other protocol is evaluated as a
// protocol without ports.
const (
	ICMP   Protocol = 1
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
	SCTP   Protocol = 132
)

var protocolNames = map[Protocol]string{ICMP: "ICMP", TCP: "TCP", UDP: "UDP", ICMPv6: "ICMPv6", SCTP: "SCTP"}

// HasPorts reports whether rules with ports can match the protocol. These are TCP,
// UDP and SCTP, the protocols of a NetworkPolicy.
func (p Protocol) HasPorts() bool { return p == TCP || p == UDP || p == SCTP }

// String returns the name of the protocol, or its number if it has no name in
// Sluice.
func (p Protocol) String() string {
	if name, ok := protocolNames[p]; ok {
		return name
	}
	return strconv.Itoa(int(p))
}

// ParseProtocol is the inverse of String. It ignores case. The error lists the valid
// values.
func ParseProtocol(s string) (Protocol, error) {
	for p, name := range protocolNames {
		if strings.EqualFold(s, name) {
			return p, nil
		}
	}
	if n, err := strconv.ParseUint(s, 10, 8); err == nil {
		return Protocol(n), nil
	}
	return 0, fmt.Errorf("protocol %q: want TCP, UDP, SCTP, ICMP, ICMPv6 or a number from 0 to 255", s)
}

// Flow is a connection in its original direction: from the end that opened it to the
// other end.
type Flow struct {
	// Src opened the flow to Dst. Both have the same family and no zone. An
	// IPv4-mapped IPv6 address counts as an IPv6 address.
	Src, Dst netip.Addr
	Protocol Protocol
	// SrcPort and DstPort are valid only if Protocol.HasPorts returns true.
	SrcPort, DstPort uint16
}

// Reverse returns the flow in the opposite direction.
func (f Flow) Reverse() Flow {
	return Flow{Src: f.Dst, Dst: f.Src, Protocol: f.Protocol, SrcPort: f.DstPort, DstPort: f.SrcPort}
}

// String returns a text such as "TCP 10.0.0.1:40000 -> 10.0.0.2:80".
func (f Flow) String() string {
	if !f.Protocol.HasPorts() {
		return fmt.Sprintf("%s %s -> %s", f.Protocol, f.Src, f.Dst)
	}
	return fmt.Sprintf("%s %s -> %s", f.Protocol, netip.AddrPortFrom(f.Src, f.SrcPort), netip.AddrPortFrom(f.Dst, f.DstPort))
}
