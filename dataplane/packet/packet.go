// Package packet decodes the first packet of a connection into a flow.Flow. Decoding allocates
// no memory, and the result does not refer to the bytes of the packet. If a packet cannot be
// decoded, the result is a Fault.
package packet

import (
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Fault is the reason why a packet could not be decoded.
type Fault uint8

// The faults. The zero value means that the packet was decoded.
const (
	// None: the packet was decoded.
	None Fault = iota
	// Truncated: the packet, or the part of it that was copied, ends within a header.
	Truncated
	// Version: the packet is neither IPv4 nor IPv6.
	Version
	// Network: an IP header is inconsistent.
	Network
	// Fragment: the packet is a fragment other than the first fragment, so it contains no
	// ports. Connection tracking reassembles fragments before packets are queued, so such a
	// fragment has bypassed connection tracking.
	Fragment
	// Transport: the TCP, UDP or SCTP header is inconsistent.
	Transport

	// Faults is the number of faults, including None.
	Faults int = iota
)

var faultNames = [Faults]string{"none", "truncated", "version", "network", "fragment", "transport"}

// String returns the fault in lower case, as it appears in metrics and events.
func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return "unknown"
}

// Packet contains the properties of a packet that determine its verdict.
type Packet struct {
	// Flow is the flow from the sender of the packet to its receiver.
	Flow flow.Flow
	// MidStream is set for a TCP packet that does not open a connection: its flag SYN is not
	// set, or its flag ACK is set. Such a packet does not show whether its sender or its
	// receiver opened the connection.
	MidStream bool
	// OwnError is set for an ICMP error if the quoted packet was sent to the sender of the
	// error. It is not set if a router on the path of the quoted packet sent the error.
	OwnError bool
}

// Decoder decodes packets. It is not safe for concurrent use, so each worker has its own
// Decoder.
type Decoder struct {
	ip4       layers.IPv4
	extension layers.IPv6ExtensionSkipper
	tcp       layers.TCP
	udp       layers.UDP
	sctp      layers.SCTP
	truncated truncation
}

// truncation ignores the notifications with which gopacket's decoders report that a packet is
// truncated. Decode accepts packets that are truncated after the transport header.
type truncation struct{}

// SetTruncated implements gopacket.DecodeFeedback.
func (*truncation) SetTruncated() {}

var _ gopacket.DecodeFeedback = (*truncation)(nil)

// Lengths of fixed headers, in bytes.
const (
	ip4Header       = 20
	ip6Header       = 40
	extensionUnit   = 8
	fragmentHeader  = 8
	authUnit        = 4
	tcpHeader       = 20
	udpHeader       = 8
	sctpHeader      = 12
	icmpHeader      = 8
	maxExtensions   = 16
	fragmentOffset6 = 0xfff8
)

// Decode decodes a packet that starts with an IP header. The packet may be truncated
// anywhere after its transport header. If the returned Fault is not None, the Packet is
// the zero value.
//
// Decode does not recover from panics. It relies on gopacket's decoders to check every
// length before use. Tests and a fuzz test verify that Decode does not panic.
func (d *Decoder) Decode(data []byte) (p Packet, fault Fault) {
	if len(data) == 0 {
		return Packet{}, Truncated
	}
	var transport []byte
	switch data[0] >> 4 {
	case 4:
		transport, fault = d.decode4(data, &p.Flow)
	case 6:
		transport, fault = d.decode6(data, &p.Flow)
	default:
		fault = Version
	}
	if fault == None {
		fault = d.decodeTransport(transport, &p)
	}
	if fault != None {
		return Packet{}, fault
	}
	return p, None
}

func (d *Decoder) decode4(data []byte, f *flow.Flow) ([]byte, Fault) {
	if len(data) < ip4Header {
		return nil, Truncated
	}
	if d.ip4.DecodeFromBytes(data, &d.truncated) != nil {
		return nil, Network
	}
	if d.ip4.FragOffset != 0 {
		return nil, Fragment
	}
	f.Src = netip.AddrFrom4([4]byte(data[12:16]))
	f.Dst = netip.AddrFrom4([4]byte(data[16:20]))
	f.Protocol = flow.Protocol(d.ip4.Protocol)
	return d.ip4.Payload, None
}

// decode6 skips the same extension headers as the kernel function ipv6_ext_hdr in
// net/ipv6/exthdrs_core.c, so that both find the same protocol. It does not use layers.IPv6,
// which allocates memory for hop-by-hop options. layers.IPv6 also rejects the length 0 that
// large packets have before they are segmented.
func (d *Decoder) decode6(data []byte, f *flow.Flow) ([]byte, Fault) {
	if len(data) < ip6Header {
		return nil, Truncated
	}
	f.Src = netip.AddrFrom16([16]byte(data[8:24]))
	f.Dst = netip.AddrFrom16([16]byte(data[24:40]))
	next, rest := layers.IPProtocol(data[6]), data[ip6Header:]
	for range maxExtensions {
		switch next {
		case layers.IPProtocolIPv6HopByHop, layers.IPProtocolIPv6Routing, layers.IPProtocolIPv6Destination:
			if len(rest) < 2 || len(rest) < (int(rest[1])+1)*extensionUnit {
				return nil, Truncated
			}
			if d.extension.DecodeFromBytes(rest, &d.truncated) != nil {
				return nil, Network
			}
			next, rest = d.extension.NextHeader, d.extension.Payload
		case layers.IPProtocolIPv6Fragment:
			if len(rest) < fragmentHeader {
				return nil, Truncated
			}
			if (uint16(rest[2])<<8|uint16(rest[3]))&fragmentOffset6 != 0 {
				return nil, Fragment
			}
			next, rest = layers.IPProtocol(rest[0]), rest[fragmentHeader:]
		case layers.IPProtocolAH:
			// RFC 4302, section 2.2: the length is in units of 4 bytes, minus 2.
			if len(rest) < 2 || len(rest) < (int(rest[1])+2)*authUnit {
				return nil, Truncated
			}
			next, rest = layers.IPProtocol(rest[0]), rest[(int(rest[1])+2)*authUnit:]
		default:
			f.Protocol = flow.Protocol(next)
			return rest, None
		}
	}
	return nil, Network
}

func (d *Decoder) decodeTransport(data []byte, p *Packet) Fault {
	switch p.Flow.Protocol {
	case flow.TCP:
		if len(data) < tcpHeader {
			return Truncated
		}
		if d.tcp.DecodeFromBytes(data, &d.truncated) != nil {
			return Transport
		}
		p.Flow.SrcPort, p.Flow.DstPort = uint16(d.tcp.SrcPort), uint16(d.tcp.DstPort)
		p.MidStream = !d.tcp.SYN || d.tcp.ACK
	case flow.UDP:
		if len(data) < udpHeader {
			return Truncated
		}
		if d.udp.DecodeFromBytes(data, &d.truncated) != nil {
			return Transport
		}
		p.Flow.SrcPort, p.Flow.DstPort = uint16(d.udp.SrcPort), uint16(d.udp.DstPort)
	case flow.SCTP:
		if len(data) < sctpHeader {
			return Truncated
		}
		if d.sctp.DecodeFromBytes(data, &d.truncated) != nil {
			return Transport
		}
		p.Flow.SrcPort, p.Flow.DstPort = uint16(d.sctp.SrcPort), uint16(d.sctp.DstPort)
	case flow.ICMP:
		p.OwnError = len(data) >= icmpHeader+ip4Header && isError4(data[0]) && data[icmpHeader]>>4 == 4 &&
			netip.AddrFrom4([4]byte(data[icmpHeader+16:icmpHeader+20])) == p.Flow.Src
	case flow.ICMPv6:
		p.OwnError = len(data) >= icmpHeader+ip6Header && data[0] < firstInformation6 && data[icmpHeader]>>4 == 6 &&
			netip.AddrFrom16([16]byte(data[icmpHeader+24:icmpHeader+40])) == p.Flow.Src
	}
	return None
}

// firstInformation6 is the lowest ICMPv6 type that is not an error (RFC 4443, section 2.1).
const firstInformation6 = 128

// isError4 reports whether connection tracking treats an ICMP type as an error. See the kernel
// function nf_conntrack_icmpv4_error in net/netfilter/nf_conntrack_proto_icmp.c.
func isError4(kind byte) bool {
	switch kind {
	case layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4TypeSourceQuench, layers.ICMPv4TypeRedirect,
		layers.ICMPv4TypeTimeExceeded, layers.ICMPv4TypeParameterProblem:
		return true
	}
	return false
}
