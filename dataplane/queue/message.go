package queue

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// Message types. Each type combines the subsystem and a constant of
// linux/netfilter/nfnetlink_queue.h.
const (
	typePacket  = unix.NFNL_SUBSYS_QUEUE << 8   // NFQNL_MSG_PACKET, which is 0
	typeVerdict = unix.NFNL_SUBSYS_QUEUE<<8 | 1 // NFQNL_MSG_VERDICT
)

// Attribute types of enum nfqnl_attr_type in linux/netfilter/nfnetlink_queue.h.
const (
	attributePacketHeader  = 1  // NFQA_PACKET_HDR
	attributeVerdictHeader = 2  // NFQA_VERDICT_HDR
	attributePacketMark    = 3  // NFQA_MARK
	attributeInInterface   = 5  // NFQA_IFINDEX_INDEV
	attributeOutInterface  = 6  // NFQA_IFINDEX_OUTDEV
	attributePayload       = 10 // NFQA_PAYLOAD
)

// Verdicts that linux/netfilter.h defines.
const (
	verdictDrop   = 0 // NF_DROP
	verdictAccept = 1 // NF_ACCEPT
	// NF_QUEUE moves the packet to another queue. The upper 16 bits of the verdict contain the
	// number of this queue. If no process has bound the queue and NF_VERDICT_FLAG_QUEUE_BYPASS
	// is set, the kernel accepts the packet at this base chain and continues at the next base
	// chain of the hook.
	verdictQueue           = 3
	verdictFlagQueueBypass = 0x8000
)

// queued is a packet that waits in a queue for its verdict. The kernel function
// nfqnl_build_packet_message in net/netfilter/nfnetlink_queue.c writes the message about the
// packet.
type queued struct {
	// id identifies the packet in its queue.
	id uint32
	// hook is the hook at which the packet was queued. It is one of the constants
	// unix.NF_INET_*.
	hook uint8
	// mark is the packet mark. It is 0 if the message contains no mark, because the kernel
	// omits a mark of 0.
	mark uint32
	// inInterface and outInterface are interface indexes. An index is 0 if packets at this hook
	// have no such interface. For example, outInterface is 0 at hook input.
	inInterface, outInterface uint32
	// content is the packet, starting with the IP header and truncated to copyRange bytes. It
	// refers to memory of the message buffer.
	content []byte
}

// parseQueued reads the payload of a message of type typePacket. It reports whether the payload
// contains the packet ID. Without the ID, no verdict is possible.
//
// If an attribute is malformed, parseQueued returns the values of the attributes before it, but
// no content. The worker then drops the packet as unreadable. Without a verdict, the packet
// would remain in the queue.
func parseQueued(payload []byte) (q queued, identified bool) {
	if len(payload) < netlink.NetfilterHeaderSize {
		return queued{}, false
	}
	attributes := netlink.ReadAttributes(payload[netlink.NetfilterHeaderSize:])
	for attributes.Next() {
		switch attributes.Type {
		case attributePacketHeader:
			// The value is a struct nfqnl_msg_packet_hdr: the ID, the EtherType (2 bytes) and
			// the hook.
			if len(attributes.Value) < 7 {
				attributes.Fail(netlink.ErrMalformed)
				break
			}
			q.id, q.hook, identified = binary.BigEndian.Uint32(attributes.Value), attributes.Value[6], true
		case attributePacketMark:
			q.mark = attributes.Uint32()
		case attributeInInterface:
			q.inInterface = attributes.Uint32()
		case attributeOutInterface:
			q.outInterface = attributes.Uint32()
		case attributePayload:
			q.content = attributes.Value
		}
	}
	if attributes.Err() != nil {
		q.content = nil
	}
	return q, identified
}

// appendVerdict appends a message with the verdict for a queued packet to b. The packet keeps
// its mark.
func appendVerdict(b []byte, queue uint16, id, verdict uint32) []byte {
	begin := len(b)
	return netlink.End(appendVerdictHeader(b, queue, id, verdict), begin)
}

// appendMarkedVerdict is like appendVerdict, but also replaces the whole packet mark with a new
// mark.
func appendMarkedVerdict(b []byte, queue uint16, id, verdict, mark uint32) []byte {
	begin := len(b)
	b = appendVerdictHeader(b, queue, id, verdict)
	return netlink.End(netlink.AppendUint32(b, attributePacketMark, mark), begin)
}

func appendVerdictHeader(b []byte, queue uint16, id, verdict uint32) []byte {
	b = netlink.Begin(b, netlink.Header{Type: typeVerdict, Flags: unix.NLM_F_REQUEST})
	// This is a struct nfgenmsg. The resource ID is the number of the queue.
	b = append(b, unix.AF_UNSPEC, unix.NFNETLINK_V0, byte(queue>>8), byte(queue))
	// header is a struct nfqnl_msg_verdict_hdr: the verdict and the ID.
	var header [8]byte
	binary.BigEndian.PutUint32(header[:], verdict)
	binary.BigEndian.PutUint32(header[4:], id)
	return netlink.AppendAttribute(b, attributeVerdictHeader, header[:])
}
