package conntrack

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Netlink messages of connection tracking, as in
// include/uapi/linux/netfilter/nfnetlink_conntrack.h. They are read where they
// lie: a table has up to a million entries, and a dump must not hold them all.
const (
	subsystem   = 1              // NFNL_SUBSYS_CTNETLINK
	messageNew  = subsystem << 8 // IPCTNL_MSG_CT_NEW is 0
	messageGet  = subsystem<<8 | 1
	headerSize  = 16
	sequenceAt  = 8 // in struct nlmsghdr
	genericSize = 4 // struct nfgenmsg

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

	attrTypeMask = 0x3fff
	attrHeader   = 4
)

// errMessage: a message of the kernel that cannot be what it says.
var errMessage = errors.New("a message of connection tracking is malformed")

// entry is one connection. The slices point into the buffer it was read from.
type entry struct {
	original, reply tuple
	mark            uint32
	// pickedUp: a TCP connection whose beginning tracking did not see.
	pickedUp bool
	// What names the connection to the kernel: the attributes of its
	// original tuple and its zone, as they came.
	tupleAttribute, zoneAttribute []byte
}

type tuple struct {
	source, destination         netip.Addr
	protocol                    flow.Protocol
	sourcePort, destinationPort uint16
}

// flow is the connection as the pods at its ends see it: the original source,
// and the destination after translation, which is where replies come from.
func (e *entry) flow() flow.Flow {
	f := flow.Flow{Src: e.original.source, Dst: e.reply.source, Protocol: e.original.protocol}
	if f.Protocol.HasPorts() {
		f.SrcPort, f.DstPort = e.original.sourcePort, e.reply.sourcePort
	}
	return f
}

// attribute is one attribute of a message. The kind comes without flags; whole
// has its header and padding.
type attribute struct {
	kind         uint16
	value, whole []byte
}

// eachAttribute calls f with one attribute after the other, until f gives an
// error.
func eachAttribute(data []byte, f func(attribute) error) error {
	for len(data) > 0 {
		if len(data) < attrHeader {
			return errMessage
		}
		length := int(binary.NativeEndian.Uint16(data))
		if length < attrHeader || length > len(data) {
			return errMessage
		}
		end := min((length+3)&^3, len(data))
		a := attribute{kind: binary.NativeEndian.Uint16(data[2:]) & attrTypeMask, value: data[attrHeader:length], whole: data[:end]}
		if err := f(a); err != nil {
			return err
		}
		data = data[end:]
	}
	return nil
}

// number gives a value of that many bytes, as the network orders them.
func (a attribute) number(size int) (uint32, error) {
	if len(a.value) != size {
		return 0, errMessage
	}
	var n uint32
	for _, b := range a.value {
		n = n<<8 | uint32(b)
	}
	return n, nil
}

// parse reads the attributes of a connection.
func (e *entry) parse(data []byte) error {
	*e = entry{}
	return eachAttribute(data, func(a attribute) (err error) {
		switch a.kind {
		case attrTupleOriginal:
			e.tupleAttribute = a.whole
			err = e.original.parse(a.value)
		case attrTupleReply:
			err = e.reply.parse(a.value)
		case attrProtoInfo:
			err = e.parseProtoInfo(a.value)
		case attrMark:
			e.mark, err = a.number(4)
		case attrZone:
			e.zoneAttribute = a.whole
		}
		return err
	})
}

func (t *tuple) parse(data []byte) error {
	return eachAttribute(data, func(a attribute) error {
		switch a.kind {
		case attrTupleIP:
			return eachAttribute(a.value, t.parseAddress)
		case attrTupleProto:
			return eachAttribute(a.value, t.parseProtocol)
		default:
			return nil
		}
	})
}

func (t *tuple) parseAddress(a attribute) error {
	into := &t.source
	switch a.kind {
	case attrIP4Source, attrIP6Source:
	case attrIP4Destination, attrIP6Destination:
		into = &t.destination
	default:
		return nil
	}
	address, ok := netip.AddrFromSlice(a.value)
	if !ok {
		return errMessage
	}
	*into = address
	return nil
}

func (t *tuple) parseProtocol(a attribute) error {
	var n uint32
	var err error
	switch a.kind {
	case attrProtoNumber:
		n, err = a.number(1)
		t.protocol = flow.Protocol(n)
	case attrProtoSourcePort:
		n, err = a.number(2)
		t.sourcePort = uint16(n)
	case attrProtoDestinationPort:
		n, err = a.number(2)
		t.destinationPort = uint16(n)
	}
	return err
}

// appendHeader begins a message whose length is set by endMessage.
func appendHeader(b []byte, kind, flags uint16, family uint8) []byte {
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return append(b, family, unix.NFNETLINK_V0, 0, 0)
}

func endMessage(b []byte, begin int) {
	binary.NativeEndian.PutUint32(b[begin:], uint32(len(b)-begin))
}

// appendMark adds a message that replaces some bits of the connection's mark and
// leaves the others as they are then (ctnetlink_change_mark in
// net/netfilter/nf_conntrack_netlink.c).
func (e *entry) appendMark(b []byte, mask, bits uint32) []byte {
	begin := len(b)
	family := uint8(unix.AF_INET)
	if e.original.source.Is6() {
		family = unix.AF_INET6
	}
	b = appendHeader(b, messageNew, unix.NLM_F_REQUEST, family)
	b = append(b, e.tupleAttribute...)
	b = append(b, e.zoneAttribute...)
	b = appendUint32(b, attrMark, bits)
	b = appendUint32(b, attrMarkMask, mask)
	endMessage(b, begin)
	return b
}

func appendUint32(b []byte, kind uint16, v uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, attrHeader+4)
	b = binary.NativeEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint32(b, v)
}

const (
	attrProtoInfoTCP     = 1
	attrTCPFlagsOriginal = 4
	// liberal is IP_CT_TCP_FLAG_BE_LIBERAL. Tracking sets it for what it picks
	// up (tcp_new in net/netfilter/nf_conntrack_proto_tcp.c).
	liberal = 0x08
)

func (e *entry) parseProtoInfo(data []byte) error {
	return eachAttribute(data, func(a attribute) error {
		if a.kind != attrProtoInfoTCP {
			return nil
		}
		return eachAttribute(a.value, func(a attribute) error {
			if a.kind == attrTCPFlagsOriginal && len(a.value) > 0 {
				e.pickedUp = a.value[0]&liberal != 0
			}
			return nil
		})
	})
}
