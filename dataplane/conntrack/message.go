package conntrack

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// Message types and attribute types, which are defined in
// include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const (
	subsystem  = 1              // NFNL_SUBSYS_CTNETLINK
	messageNew = subsystem << 8 // IPCTNL_MSG_CT_NEW is 0
	messageGet = subsystem<<8 | 1

	attrTupleOriginal = 1
	attrTupleReply    = 2
	attrProtoInfo     = 4
	attrMark          = 8
	attrZone          = 18
	attrMarkMask      = 21

	attrTupleIP    = 1
	attrTupleProto = 2

	attrIP4Source      = 1
	attrIP4Destination = 2
	attrIP6Source      = 3
	attrIP6Destination = 4

	attrProtoNumber          = 1
	attrProtoSourcePort      = 2
	attrProtoDestinationPort = 3

	attrProtoInfoTCP     = 1
	attrTCPState         = 1
	attrTCPFlagsOriginal = 4
)

// States of TCP connections in connection tracking, which are defined in
// include/uapi/linux/netfilter/nf_conntrack_tcp.h. A connection in one of these states has ended.
const (
	tcpTimeWait = 7
	tcpClose    = 8
)

// liberal is the flag IP_CT_TCP_FLAG_BE_LIBERAL. Connection tracking sets the flag for a
// connection that it picks up in mid-stream (tcp_new in
// net/netfilter/nf_conntrack_proto_tcp.c).
const liberal = 0x08

// entry is one connection in the connection tracking table. Its slices refer to the buffer that
// was passed to the `parse` method.
type entry struct {
	original, reply tuple
	mark            uint32
	// pickedUp is set for a TCP connection that connection tracking picked up in
	// mid-stream, without seeing its start.
	pickedUp bool
	// The `ended` field is set for a TCP connection that has ended, but is still in the table.
	ended bool
	// tupleAttribute and zoneAttribute identify the connection in requests to the kernel. They
	// contain the original tuple's attribute and the zone's attribute exactly as the kernel
	// sent them.
	tupleAttribute, zoneAttribute []byte
}

// tuple contains the addresses and ports of a connection in one direction.
type tuple struct {
	source, destination         netip.Addr
	protocol                    flow.Protocol
	sourcePort, destinationPort uint16
}

// flow returns the flow for which policies are evaluated. Its source is the source of the
// packets in the original direction. Its destination is the source of the replies, which is the
// destination after DNAT.
func (e *entry) flow() flow.Flow {
	f := flow.Flow{Src: e.original.source, Dst: e.reply.source, Protocol: e.original.protocol}
	if f.Protocol.HasPorts() {
		f.SrcPort, f.DstPort = e.original.sourcePort, e.reply.sourcePort
	}
	return f
}

// parse parses the attributes of one connection into e.
func (e *entry) parse(data []byte) error {
	*e = entry{}
	attributes := netlink.ReadAttributes(data)
	for attributes.Next() {
		switch attributes.Type {
		case attrTupleOriginal:
			e.tupleAttribute = attributes.Raw
			attributes.Fail(e.original.parse(attributes.Value))
		case attrTupleReply:
			attributes.Fail(e.reply.parse(attributes.Value))
		case attrProtoInfo:
			attributes.Fail(e.parseProtoInfo(attributes.Value))
		case attrMark:
			e.mark = attributes.Uint32()
		case attrZone:
			e.zoneAttribute = attributes.Raw
		}
	}
	return attributes.Err()
}

func (t *tuple) parse(data []byte) error {
	attributes := netlink.ReadAttributes(data)
	for attributes.Next() {
		switch attributes.Type {
		case attrTupleIP:
			attributes.Fail(t.parseAddresses(attributes.Value))
		case attrTupleProto:
			attributes.Fail(t.parseProtocol(attributes.Value))
		}
	}
	return attributes.Err()
}

func (t *tuple) parseAddresses(data []byte) error {
	attributes := netlink.ReadAttributes(data)
	for attributes.Next() {
		switch attributes.Type {
		case attrIP4Source, attrIP6Source:
			attributes.Fail(parseAddress(&t.source, attributes.Value))
		case attrIP4Destination, attrIP6Destination:
			attributes.Fail(parseAddress(&t.destination, attributes.Value))
		}
	}
	return attributes.Err()
}

func parseAddress(into *netip.Addr, value []byte) error {
	address, ok := netip.AddrFromSlice(value)
	if !ok {
		return netlink.ErrMalformed
	}
	*into = address
	return nil
}

func (t *tuple) parseProtocol(data []byte) error {
	attributes := netlink.ReadAttributes(data)
	for attributes.Next() {
		switch attributes.Type {
		case attrProtoNumber:
			t.protocol = flow.Protocol(attributes.Uint8())
		case attrProtoSourcePort:
			t.sourcePort = attributes.Uint16()
		case attrProtoDestinationPort:
			t.destinationPort = attributes.Uint16()
		}
	}
	return attributes.Err()
}

func (e *entry) parseProtoInfo(data []byte) error {
	attributes := netlink.ReadAttributes(data)
	for attributes.Next() {
		if attributes.Type == attrProtoInfoTCP {
			attributes.Fail(e.parseTCP(attributes.Value))
		}
	}
	return attributes.Err()
}

func (e *entry) parseTCP(data []byte) error {
	attributes := netlink.ReadAttributes(data)
	for attributes.Next() {
		// The value is a struct nf_ct_tcp_flags. Its first byte contains the flags, and its
		// second byte contains the mask.
		if attributes.Type == attrTCPFlagsOriginal && len(attributes.Value) > 0 {
			e.pickedUp = attributes.Value[0]&liberal != 0
		}
		if attributes.Type == attrTCPState {
			state := attributes.Uint8()
			e.ended = state == tcpTimeWait || state == tcpClose
		}
	}
	return attributes.Err()
}

// appendListRequest appends a request for all IPv4 and IPv6 connections to b.
func appendListRequest(b []byte, sequence uint32) []byte {
	begin := len(b)
	b = netlink.Begin(b, netlink.Header{Type: messageGet, Flags: unix.NLM_F_REQUEST | unix.NLM_F_DUMP, Sequence: sequence})
	b = netlink.AppendNetfilterHeader(b, unix.AF_UNSPEC)
	return netlink.End(b, begin)
}

// appendMark appends a request to b. The request clears the bits in `mask` in the mark of the
// connection, and then sets the bits in `bits`. The kernel does not change the other bits of the
// mark (ctnetlink_change_mark in net/netfilter/nf_conntrack_netlink.c).
func (e *entry) appendMark(b []byte, mask, bits uint32) []byte {
	begin := len(b)
	family := uint8(unix.AF_INET)
	if e.original.source.Is6() {
		family = unix.AF_INET6
	}
	b = netlink.Begin(b, netlink.Header{Type: messageNew, Flags: unix.NLM_F_REQUEST})
	b = netlink.AppendNetfilterHeader(b, family)
	b = append(b, e.tupleAttribute...)
	b = append(b, e.zoneAttribute...)
	b = netlink.AppendUint32(b, attrMark, bits)
	b = netlink.AppendUint32(b, attrMarkMask, mask)
	return netlink.End(b, begin)
}
