package queue

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/internal/netlink"
	"github.com/sluicenet/sluice/dataplane/packet"
)

// netfilterHeader is the struct nfgenmsg of a message about an IPv4 packet in queue 258.
var netfilterHeader = []byte{unix.AF_INET, unix.NFNETLINK_V0, 1, 2}

// describe returns the payload of a message from the kernel about a packet at hook forward. The
// payload contains the mark and the data only if they are not nil.
func describe(id uint32, mark *uint32, data []byte) []byte {
	b := append([]byte(nil), netfilterHeader...)
	b = netlink.AppendAttribute(b, attributePacketHeader, append(binary.BigEndian.AppendUint32(nil, id), 8, 0, unix.NF_INET_FORWARD))
	if mark != nil {
		b = netlink.AppendUint32(b, attributePacketMark, *mark)
	}
	if data != nil {
		b = netlink.AppendAttribute(b, attributePayload, data)
	}
	return b
}

func TestParseQueued(t *testing.T) {
	data := tcp4(80, syn)
	whole := describe(7, new(uint32(5)), data)
	for name, test := range map[string]struct {
		payload    []byte
		want       queued
		identified bool
	}{
		"packet":                       {whole, queued{id: 7, hook: unix.NF_INET_FORWARD, mark: 5, content: data}, true},
		"no mark":                      {describe(7, nil, data), queued{id: 7, hook: unix.NF_INET_FORWARD, content: data}, true},
		"no data":                      {describe(7, nil, nil), queued{id: 7, hook: unix.NF_INET_FORWARD}, true},
		"empty":                        {nil, queued{}, false},
		"half of the netfilter header": {whole[:3], queued{}, false},
		"no attribute":                 {whole[:4], queued{}, false},
		"no ID":                        {netlink.AppendUint32(bytes.Clone(netfilterHeader), attributePacketMark, 5), queued{mark: 5}, false},
		"half of the packet header": {
			netlink.AppendAttribute(bytes.Clone(netfilterHeader), attributePacketHeader, []byte{0, 0, 0, 7}), queued{}, false,
		},
		// The attributes are longer than the message.
		"truncated in the header of the payload": {whole[:4+12+8+2], queued{id: 7, hook: unix.NF_INET_FORWARD, mark: 5}, true},
		"truncated in the payload":               {whole[:len(whole)-1], queued{id: 7, hook: unix.NF_INET_FORWARD, mark: 5}, true},
		"malformed after the payload":            {append(bytes.Clone(whole), 1, 2, 3), queued{id: 7, hook: unix.NF_INET_FORWARD, mark: 5}, true},
		"mark of 3 bytes": {
			netlink.AppendAttribute(describe(7, nil, data), attributePacketMark, []byte{1, 2, 3}), queued{id: 7, hook: unix.NF_INET_FORWARD}, true,
		},
		"unknown attributes": {
			netlink.AppendAttribute(netlink.AppendAttribute(describe(7, nil, data), 99, []byte{1}), 16383, nil),
			queued{id: 7, hook: unix.NF_INET_FORWARD, content: data},
			true,
		},
		"interfaces": {
			netlink.AppendUint32(netlink.AppendUint32(describe(7, nil, data), attributeInInterface, 11), attributeOutInterface, 12),
			queued{id: 7, hook: unix.NF_INET_FORWARD, inInterface: 11, outInterface: 12, content: data},
			true,
		},
		"recorded UDP packet": {recordedUDP, queued{id: 1, hook: unix.NF_INET_FORWARD, inInterface: 0x65, outInterface: 0x66, content: recordedUDPContent}, true},
		"recorded GSO packet": {recordedGSO, queued{id: 1, hook: unix.NF_INET_FORWARD, inInterface: 0x65, outInterface: 0x66, content: recordedGSOContent}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, identified := parseQueued(test.payload)
			if identified != test.identified {
				t.Errorf("identified: %v, want %v", identified, test.identified)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(queued{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// These messages were recorded on Linux 6.18. The first message is about a UDP packet of 29
// bytes. The second message is about a UDP packet of 10,028 bytes that is not segmented yet
// (NFQA_SKB_GSO) and is truncated to 256 bytes.
var (
	recordedUDP = fromHex("02000064"+
		"0b000100"+"0000000108000200"+
		"08000500"+"00000065"+
		"08000600"+"00000066"+
		"10000900"+"0006000042d05822a1370000"+
		"14000400"+"000000006b0acbe900000000000c6f01"+
		"08000e00"+"00000001"+
		"21000a00", recordedUDPContent)
	recordedUDPContent = fromHex("4500001d1d2040003f1106c40af401020af40103" + "a823000900091807" + "00")
	recordedGSO        = fromHex("02000064"+
		"0b000100"+"0000000108000200"+
		"08000500"+"00000065"+
		"08000600"+"00000066"+
		"10000900"+"00060000a25206bc5e910000"+
		"08000d00"+"0000272c"+
		"08000e00"+"00000003"+
		"04010a00", recordedGSOContent)
	recordedGSOContent = fromHex("4500272ce2a100003f115a330af401020af40103"+"9d4d000927183f16", make([]byte, 256-28))
)

func fromHex(digits string, more ...[]byte) []byte {
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	return append(b, bytes.Join(more, nil)...)
}

// TestRecordedPackets checks that the packets in both recorded messages can be decoded.
func TestRecordedPackets(t *testing.T) {
	for _, payload := range [][]byte{recordedUDP, recordedGSO} {
		q, _ := parseQueued(payload)
		var decoder packet.Decoder
		p, fault := decoder.Decode(q.content)
		if fault != packet.None || p.Flow.Protocol != flow.UDP || p.Flow.DstPort != 9 {
			t.Errorf("%v, fault %s, want a UDP packet to port 9", p, fault)
		}
	}
}

// TestVerdictsLikeGoNfqueue checks that this package writes the same verdict messages as
// go-nfqueue.
func TestVerdictsLikeGoNfqueue(t *testing.T) {
	p := newOtherParser(t)
	for name, test := range map[string]struct {
		ours    []byte
		options []nfqueue.VerdictOption
		verdict int
	}{
		"drop":   {ours: appendVerdict(nil, 258, 7, verdictDrop), verdict: nfqueue.NfDrop},
		"accept": {appendMarkedVerdict(nil, 258, 7, verdictAccept, 0xdead4000), []nfqueue.VerdictOption{nfqueue.WithMark(0xdead4000)}, nfqueue.NfAccept},
	} {
		t.Run(name, func(t *testing.T) {
			if err := p.nf.SetVerdictWithOption(7, test.verdict, test.options...); err != nil {
				t.Fatal(err)
			}
			want := <-p.verdicts
			messages := netlink.ReadMessages(test.ours)
			if !messages.Next() || messages.Header.Type != uint16(want.Header.Type) || messages.Header.Flags != uint16(want.Header.Flags) {
				t.Fatalf("header %+v, go-nfqueue: %+v", messages.Header, want.Header)
			}
			if diff := cmp.Diff(want.Data, messages.Payload); diff != "" {
				t.Errorf("(-go-nfqueue +ours):\n%s", diff)
			}
			if messages.Next() || len(test.ours) > verdictSize {
				t.Errorf("% x, want one message of at most %d bytes", test.ours, verdictSize)
			}
		})
	}
}
