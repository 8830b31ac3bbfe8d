package packet_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/packet"
)

var (
	src4, dst4 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	src6, dst6 = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
)

func ip4(protocol layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: net.IP(src4.AsSlice()), DstIP: net.IP(dst4.AsSlice())}
}

func ip6(next layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: next, SrcIP: net.IP(src6.AsSlice()), DstIP: net.IP(dst6.AsSlice())}
}

func tcp(flags func(*layers.TCP)) *layers.TCP {
	t := &layers.TCP{SrcPort: 40000, DstPort: 80, Window: 1000, Options: []layers.TCPOption{
		{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}},
		{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2},
		{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)},
		{OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{7}},
	}}
	flags(t)
	return t
}

func syn(t *layers.TCP) { t.SYN = true }
func ack(t *layers.TCP) { t.ACK = true }

func synAck(t *layers.TCP) { t.SYN, t.ACK = true, true }

func serialize(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, parts...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// extensions returns a packet with the IPv6 extension headers in raw, followed by a transport
// header.
func extensions(t testing.TB, first layers.IPProtocol, raw []byte, transport gopacket.SerializableLayer) []byte {
	t.Helper()
	return serialize(t, ip6(first), gopacket.Payload(append(raw, serialize(t, transport)...)))
}

// error4 returns an ICMP error. The error quotes a packet that was sent to the address `to`.
func error4(t testing.TB, kind layers.ICMPv4TypeCode, to netip.Addr) []byte {
	t.Helper()
	about := ip4(layers.IPProtocolUDP)
	about.SrcIP, about.DstIP = net.IP(dst4.AsSlice()), net.IP(to.AsSlice())
	return serialize(t, ip4(layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: kind}, about, udp())
}

// error6 is like error4, but for IPv6.
func error6(t testing.TB, kind byte, to netip.Addr) []byte {
	t.Helper()
	about := ip6(layers.IPProtocolUDP)
	about.SrcIP, about.DstIP = net.IP(dst6.AsSlice()), net.IP(to.AsSlice())
	return serialize(t, ip6(layers.IPProtocolICMPv6), gopacket.Payload(append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, serialize(t, about, udp())...)))
}

func udp() *layers.UDP { return &layers.UDP{SrcPort: 5353, DstPort: 53} }

func TestDecode(t *testing.T) {
	fragment := func(offset uint16, more bool) *layers.IPv4 {
		ip := ip4(layers.IPProtocolUDP)
		ip.FragOffset = offset
		if more {
			ip.Flags = layers.IPv4MoreFragments
		}
		return ip
	}
	options := ip4(layers.IPProtocolTCP)
	options.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: make([]byte, 5)}, {OptionType: 1, OptionLength: 1}}
	zeroLength6 := serialize(t, ip6(layers.IPProtocolTCP), tcp(ack))
	binary.BigEndian.PutUint16(zeroLength6[4:], 0)
	v5 := serialize(t, ip4(layers.IPProtocolUDP), udp())
	v5[0] = 0x55
	badOffset := serialize(t, ip4(layers.IPProtocolTCP), tcp(syn))
	badOffset[20+12] = 0x20
	endless := make([]byte, 40)
	copy(endless, serialize(t, ip6(layers.IPProtocolIPv6Destination), gopacket.Payload(make([]byte, 8))))
	for range 20 {
		endless = append(endless, 60, 0, 1, 4, 0, 0, 0, 0)
	}

	tcp4 := flow.Flow{Src: src4, Dst: dst4, Protocol: flow.TCP, SrcPort: 40000, DstPort: 80}
	tcp6 := flow.Flow{Src: src6, Dst: dst6, Protocol: flow.TCP, SrcPort: 40000, DstPort: 80}
	udp4 := flow.Flow{Src: src4, Dst: dst4, Protocol: flow.UDP, SrcPort: 5353, DstPort: 53}
	udp6 := flow.Flow{Src: src6, Dst: dst6, Protocol: flow.UDP, SrcPort: 5353, DstPort: 53}
	icmp4 := flow.Flow{Src: src4, Dst: dst4, Protocol: flow.ICMP}
	icmp6 := flow.Flow{Src: src6, Dst: dst6, Protocol: flow.ICMPv6}

	tests := map[string]struct {
		data      []byte
		want      packet.Packet
		wantFault packet.Fault
	}{
		"TCP SYN over IPv4":     {data: serialize(t, ip4(layers.IPProtocolTCP), tcp(syn)), want: packet.Packet{Flow: tcp4}},
		"TCP ACK is mid-stream": {data: serialize(t, ip4(layers.IPProtocolTCP), tcp(ack)), want: packet.Packet{Flow: tcp4, MidStream: true}},
		"TCP SYN+ACK is mid-stream": {
			data: serialize(t, ip6(layers.IPProtocolTCP), tcp(synAck)),
			want: packet.Packet{Flow: tcp6, MidStream: true},
		},
		"TCP after IPv4 options": {data: serialize(t, options, tcp(syn)), want: packet.Packet{Flow: tcp4}},
		"TCP in a large packet without length": {
			data: zeroLength6,
			want: packet.Packet{Flow: tcp6, MidStream: true},
		},
		"UDP over IPv4":            {data: serialize(t, ip4(layers.IPProtocolUDP), udp()), want: packet.Packet{Flow: udp4}},
		"UDP over IPv6":            {data: serialize(t, ip6(layers.IPProtocolUDP), udp()), want: packet.Packet{Flow: udp6}},
		"UDP cut after the header": {data: serialize(t, ip4(layers.IPProtocolUDP), udp(), gopacket.Payload(make([]byte, 1000)))[:60], want: packet.Packet{Flow: udp4}},
		"SCTP": {
			data: serialize(t, ip4(layers.IPProtocolSCTP), &layers.SCTP{SrcPort: 1, DstPort: 2}),
			want: packet.Packet{Flow: flow.Flow{Src: src4, Dst: dst4, Protocol: flow.SCTP, SrcPort: 1, DstPort: 2}},
		},
		"ICMP has no ports": {
			data: serialize(t, ip4(layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}),
			want: packet.Packet{Flow: flow.Flow{Src: src4, Dst: dst4, Protocol: flow.ICMP}},
		},
		"ICMPv6 has no ports": {
			data: serialize(t, ip6(layers.IPProtocolICMPv6), gopacket.Payload{128, 0, 0, 0}),
			want: packet.Packet{Flow: flow.Flow{Src: src6, Dst: dst6, Protocol: flow.ICMPv6}},
		},
		"ICMP error about the sender's own packet": {
			data: error4(t, layers.CreateICMPv4TypeCode(3, 3), src4),
			want: packet.Packet{Flow: icmp4, OwnError: true},
		},
		"ICMP error about a packet to another host":   {data: error4(t, layers.CreateICMPv4TypeCode(3, 3), dst4), want: packet.Packet{Flow: icmp4}},
		"ICMP echo that looks like an error":          {data: error4(t, layers.CreateICMPv4TypeCode(8, 0), src4), want: packet.Packet{Flow: icmp4}},
		"ICMP error without the whole inner header":   {data: error4(t, layers.CreateICMPv4TypeCode(11, 0), src4)[:20+8+19], want: packet.Packet{Flow: icmp4}},
		"ICMPv6 error about the sender's own packet":  {data: error6(t, 1, src6), want: packet.Packet{Flow: icmp6, OwnError: true}},
		"ICMPv6 error about a packet to another host": {data: error6(t, 2, dst6), want: packet.Packet{Flow: icmp6}},
		"ICMPv6 echo that looks like an error":        {data: error6(t, 128, src6), want: packet.Packet{Flow: icmp6}},
		"ICMPv6 error without the whole inner header": {data: error6(t, 1, src6)[:40+8+39], want: packet.Packet{Flow: icmp6}},
		"unknown protocol": {
			data: serialize(t, ip4(253)),
			want: packet.Packet{Flow: flow.Flow{Src: src4, Dst: dst4, Protocol: 253}},
		},
		"first fragment has ports":    {data: serialize(t, fragment(0, true), udp()), want: packet.Packet{Flow: udp4}},
		"later fragment has no ports": {data: serialize(t, fragment(10, false), gopacket.Payload(make([]byte, 32))), wantFault: packet.Fragment},
		"hop-by-hop, routing and destination options": {
			data: extensions(t, layers.IPProtocolIPv6HopByHop, []byte{
				43, 0, 5, 2, 0, 0, 1, 0,
				60, 0, 4, 0, 0, 0, 0, 0,
				17, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			}, udp()),
			want: packet.Packet{Flow: udp6},
		},
		"authentication header": {
			data: extensions(t, layers.IPProtocolAH, append([]byte{17, 4, 0, 0}, make([]byte, 20)...), udp()),
			want: packet.Packet{Flow: udp6},
		},
		"first IPv6 fragment": {
			data: extensions(t, layers.IPProtocolIPv6Fragment, []byte{17, 0, 0, 1, 0, 0, 0, 9}, udp()),
			want: packet.Packet{Flow: udp6},
		},
		"later IPv6 fragment": {
			data:      extensions(t, layers.IPProtocolIPv6Fragment, []byte{17, 0, 0, 8, 0, 0, 0, 9}, udp()),
			wantFault: packet.Fragment,
		},
		"no next header": {
			data: extensions(t, layers.IPProtocolIPv6Destination, []byte{59, 0, 1, 4, 0, 0, 0, 0}, gopacket.Payload(nil)),
			want: packet.Packet{Flow: flow.Flow{Src: src6, Dst: dst6, Protocol: 59}},
		},
		"empty packet":               {wantFault: packet.Truncated},
		"cut IPv4 header":            {data: serialize(t, ip4(layers.IPProtocolUDP))[:19], wantFault: packet.Truncated},
		"cut IPv6 header":            {data: serialize(t, ip6(layers.IPProtocolUDP))[:39], wantFault: packet.Truncated},
		"cut TCP header":             {data: serialize(t, ip4(layers.IPProtocolTCP), tcp(syn))[:39], wantFault: packet.Truncated},
		"cut UDP header":             {data: serialize(t, ip4(layers.IPProtocolUDP), udp())[:27], wantFault: packet.Truncated},
		"cut extension header":       {data: extensions(t, layers.IPProtocolIPv6Routing, []byte{17, 9, 0, 0, 0, 0, 0, 0}, udp()), wantFault: packet.Truncated},
		"not IP":                     {data: v5, wantFault: packet.Version},
		"TCP data offset too small":  {data: badOffset, wantFault: packet.Transport},
		"too many extension headers": {data: endless, wantFault: packet.Network},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var d packet.Decoder
			// Decode another packet first, to verify that a decoder keeps no state between
			// packets.
			d.Decode(serialize(t, ip4(layers.IPProtocolTCP), tcp(ack)))
			got, fault := d.Decode(test.data)
			if fault != test.wantFault {
				t.Fatalf("Decode: fault %s, want %s", fault, test.wantFault)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	var d packet.Decoder
	for name, data := range map[string][]byte{
		"TCP": serialize(t, ip4(layers.IPProtocolTCP), tcp(syn)),
		"UDP": serialize(t, ip6(layers.IPProtocolUDP), udp()),
		"hop-by-hop": extensions(t, layers.IPProtocolIPv6HopByHop,
			[]byte{17, 0, 5, 2, 0, 0, 1, 0}, udp()),
	} {
		if n := testing.AllocsPerRun(100, func() { d.Decode(data) }); n != 0 {
			t.Errorf("%s: %v allocations per packet, want 0", name, n)
		}
	}
}

// seeds returns a list of packets. Together, they contain every kind of header.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	options := ip4(layers.IPProtocolTCP)
	options.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: make([]byte, 5)}, {OptionType: 1, OptionLength: 1}}
	return [][]byte{
		serialize(t, ip4(layers.IPProtocolTCP), tcp(syn)),
		serialize(t, options, tcp(syn)),
		serialize(t, ip6(layers.IPProtocolUDP), udp()),
		serialize(t, ip4(layers.IPProtocolSCTP), &layers.SCTP{}),
		error4(t, layers.CreateICMPv4TypeCode(3, 3), src4),
		error6(t, 1, src6),
		extensions(t, layers.IPProtocolIPv6HopByHop, []byte{44, 0, 5, 2, 0, 0, 1, 0, 6, 0, 0, 1, 0, 0, 0, 9}, tcp(syn)),
		extensions(t, layers.IPProtocolAH, append([]byte{17, 4, 0, 0}, make([]byte, 20)...), udp()),
	}
}

// Decode does not recover from panics, so a panic in a decoder of gopacket would end the
// dataplane. This test changes one byte of each seed at a time, truncates the changed packet to
// every length, and decodes it. The test uses one decoder for all packets, because gopacket's
// layers keep slices of the previous packet, which could affect the next one.
func TestDecodeDoesNotPanic(t *testing.T) {
	var d packet.Decoder
	for _, seed := range seeds(t) {
		data := make([]byte, len(seed))
		for at := range seed {
			for value := range 256 {
				copy(data, seed)
				data[at] = byte(value)
				for cut := at + 1; cut <= len(data); cut++ {
					d.Decode(data[:cut:cut])
				}
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d packet.Decoder
		p, fault := d.Decode(data)
		if fault != packet.None {
			if p != (packet.Packet{}) {
				t.Fatalf("fault %s with packet %+v", fault, p)
			}
			return
		}
		if !p.Flow.Src.IsValid() || p.Flow.Src.Is4() != p.Flow.Dst.Is4() {
			t.Fatalf("addresses %v -> %v", p.Flow.Src, p.Flow.Dst)
		}
		if p.MidStream && p.Flow.Protocol != flow.TCP {
			t.Fatalf("%v is mid-stream", p.Flow)
		}
		if p.OwnError && p.Flow.Protocol != flow.ICMP && p.Flow.Protocol != flow.ICMPv6 {
			t.Fatalf("%v is an ICMP error", p.Flow)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data := serialize(b, ip4(layers.IPProtocolTCP), tcp(syn))
	var d packet.Decoder
	b.ReportAllocs()
	for b.Loop() {
		d.Decode(data)
	}
}
