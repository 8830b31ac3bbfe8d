// Package packet reads the first packet of a connection into a flow.Flow. It
// allocates nothing, keeps nothing of the packet, and never panics: a packet
// that cannot be read has a Fault, and its flow is not to be used.
package packet

import (
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Fault says why a packet could not be read.
type Fault uint8

// The faults. The zero value is a packet that was read.
const (
	// None: the packet was read.
	None Fault = iota
	// Truncated: the packet, or what was copied of it, ends within a header.
	Truncated
	// Version: the packet is neither IPv4 nor IPv6.
	Version
	// Network: an IP header contradicts itself.
	Network
	// Fragment: a fragment that is not the first has no ports. Connection
	// tracking puts fragments together before a packet is queued, so this one
	// went around it.
	Fragment
	// Transport: the TCP, UDP or SCTP header contradicts itself.
	Transport

	// Faults is how many there are, None included.
	Faults int = iota
)

var faultNames = [Faults]string{"none", "truncated", "version", "network", "fragment", "transport"}

// String gives the fault in lower case, as it stands in metrics and events.
func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return "unknown"
}

// Packet is what a verdict needs to know of a packet.
type Packet struct {
	// Flow is the packet's own direction: who sent it, to whom.
	Flow flow.Flow
	// MidStream: a TCP packet that does not open a connection, because it is
	// not a bare SYN. Which of its ends opened the connection is unknown.
	MidStream bool
	// OwnError: an ICMP error about a packet that was sent to the one who now
	// sends the error, not one that somebody saw on its way.
	OwnError bool
}

// Decoder reads packets. It is not safe for concurrent use: each worker has its
// own.
type Decoder struct {
	ip4       layers.IPv4
	extension layers.IPv6ExtensionSkipper
	tcp       layers.TCP
	udp       layers.UDP
	sctp      layers.SCTP
	// truncated is told by the layers that a packet is longer than what was
	// copied of it, which is no fault.
	truncated truncation
}

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

// Decode reads a packet that begins with its IP header. It may be cut short
// behind the transport header. With a Fault other than None the Packet is
// zero.
func (d *Decoder) Decode(data []byte) (p Packet, fault Fault) {
	// The decoding layers are fuzzed, yet a verdict must come whatever a pod
	// sends.
	defer func() {
		if recover() != nil {
			p, fault = Packet{}, Network
		}
	}()
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

// decode6 walks the same extension headers as the kernel does
// (net/ipv6/exthdrs_core.c, ipv6_ext_hdr), so that both see one protocol. The
// fixed header is read here, because layers.IPv6 allocates for hop-by-hop
// options and refuses the zero length of large packets not segmented yet.
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
			// RFC 4302: the length is in units of 4 bytes, less 2.
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

// firstInformation6 is the first type of ICMPv6 that is no error (RFC 4443, 2.1).
const firstInformation6 = 128

// isError4 says whether a type of ICMP is of errors, as connection tracking sees
// it (nf_conntrack_icmpv4_error in net/netfilter/nf_conntrack_proto_icmp.c).
func isError4(kind byte) bool {
	switch kind {
	case layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4TypeSourceQuench, layers.ICMPv4TypeRedirect,
		layers.ICMPv4TypeTimeExceeded, layers.ICMPv4TypeParameterProblem:
		return true
	}
	return false
}
