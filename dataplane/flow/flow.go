// Package flow holds the one noun that every part of Sluice shares: the
// 5-tuple of a connection as its first packet shows it, after service
// translation and before masquerade. It knows no Kubernetes and no kernel.
package flow

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Protocol is an IP protocol number as IANA assigns it. In IPv6 it is the
// number behind the last extension header.
type Protocol uint8

// The protocols that Sluice calls by name. Every other number is judged as a
// protocol without ports.
const (
	ICMP   Protocol = 1
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
	SCTP   Protocol = 132
)

var protocolNames = map[Protocol]string{ICMP: "ICMP", TCP: "TCP", UDP: "UDP", ICMPv6: "ICMPv6", SCTP: "SCTP"}

// HasPorts reports whether rules with ports can match the protocol: TCP, UDP
// and SCTP, the three that NetworkPolicy knows.
func (p Protocol) HasPorts() bool { return p == TCP || p == UDP || p == SCTP }

// String gives the protocol's name, or its number where Sluice has no name.
func (p Protocol) String() string {
	if name, ok := protocolNames[p]; ok {
		return name
	}
	return strconv.Itoa(int(p))
}

// ParseProtocol reads what String writes, in any case. The error lists what
// would have been understood.
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

// Flow is one connection in its original direction: who opened it, to whom.
type Flow struct {
	// Src opened the flow; Dst is the end it was opened to. Both are of one
	// family, without zone; an IPv4-mapped IPv6 address is an IPv6 address.
	Src, Dst netip.Addr
	Protocol Protocol
	// SrcPort and DstPort are valid iff Protocol.HasPorts.
	SrcPort, DstPort uint16
}

// Reverse gives the flow as if its other end had opened it.
func (f Flow) Reverse() Flow {
	return Flow{Src: f.Dst, Dst: f.Src, Protocol: f.Protocol, SrcPort: f.DstPort, DstPort: f.SrcPort}
}

// String writes the flow as people do: "TCP 10.0.0.1:40000 -> 10.0.0.2:80".
func (f Flow) String() string {
	if !f.Protocol.HasPorts() {
		return fmt.Sprintf("%s %s -> %s", f.Protocol, f.Src, f.Dst)
	}
	return fmt.Sprintf("%s %s -> %s", f.Protocol, netip.AddrPortFrom(f.Src, f.SrcPort), netip.AddrPortFrom(f.Dst, f.DstPort))
}
