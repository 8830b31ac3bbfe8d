// Package flow defines the type that every part of Sluice uses for a flow. A flow is the
// 5-tuple of a connection's first packet, after DNAT and before masquerade. The package
// depends neither on Kubernetes nor on the kernel.
package flow

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Protocol is an IP protocol number as assigned by IANA. For an IPv6 packet, it is the
// "next header" number of the last extension header, or of the IPv6 header if there are
// no extension headers.
type Protocol uint8

// Protocols for which Sluice has a name. Policies treat every other protocol as a protocol
// without ports.
const (
	ICMP   Protocol = 1
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
	SCTP   Protocol = 132
)

var protocolNames = map[Protocol]string{ICMP: "ICMP", TCP: "TCP", UDP: "UDP", ICMPv6: "ICMPv6", SCTP: "SCTP"}

// HasPorts reports whether policy rules can match ports of the protocol. It returns true
// for TCP, UDP and SCTP, which are the protocols that a NetworkPolicy can specify.
func (p Protocol) HasPorts() bool { return p == TCP || p == UDP || p == SCTP }

// String returns the name of the protocol, such as "TCP", or the protocol number if Sluice has
// no name for the protocol.
func (p Protocol) String() string {
	if name, ok := protocolNames[p]; ok {
		return name
	}
	return strconv.Itoa(int(p))
}

// ParseProtocol parses the name or number of a protocol, as String returns it. It ignores case.
// If the text is invalid, the error lists the valid values.
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

// Flow identifies a connection in its original direction, from the end that opened the
// connection to the other end.
type Flow struct {
	// Src is the end that opened the connection, and Dst is the other end. Both addresses must
	// have the same address family and no zone. An IPv4-mapped IPv6 address counts as an IPv6
	// address.
	Src, Dst netip.Addr
	Protocol Protocol
	// SrcPort and DstPort are valid only if Protocol.HasPorts returns true.
	SrcPort, DstPort uint16
}

// Reverse returns the flow from Dst to Src.
func (f Flow) Reverse() Flow {
	return Flow{Src: f.Dst, Dst: f.Src, Protocol: f.Protocol, SrcPort: f.DstPort, DstPort: f.SrcPort}
}

// String formats the flow, for example as "TCP 10.0.0.1:40000 -> 10.0.0.2:80".
func (f Flow) String() string {
	if !f.Protocol.HasPorts() {
		return fmt.Sprintf("%s %s -> %s", f.Protocol, f.Src, f.Dst)
	}
	return fmt.Sprintf("%s %s -> %s", f.Protocol, netip.AddrPortFrom(f.Src, f.SrcPort), netip.AddrPortFrom(f.Dst, f.DstPort))
}
