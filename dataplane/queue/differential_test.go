package queue

import (
	"context"
	"encoding/binary"
	"iter"
	"os"
	"testing"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/google/go-cmp/cmp"
	mdlayher "github.com/mdlayher/netlink"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// otherParser parses messages with go-nfqueue, whose parser is not exported. It replaces the
// socket of an nfqueue.Nfqueue. It acknowledges go-nfqueue's configuration messages, and passes
// the messages of a test to go-nfqueue.
type otherParser struct {
	nf       *nfqueue.Nfqueue
	requests chan mdlayher.Message // of the configuration, not acknowledged yet
	verdicts chan mdlayher.Message
	messages chan []byte
	parsed   chan nfqueue.Attribute
	stop     chan struct{}
}

func newOtherParser(t testing.TB) *otherParser {
	t.Helper()
	nf, err := nfqueue.Open(&nfqueue.Config{NfQueue: 258})
	if err != nil {
		t.Fatal(err)
	}
	if err := nf.Con.Close(); err != nil {
		t.Fatal(err)
	}
	p := &otherParser{
		nf: nf, requests: make(chan mdlayher.Message, 1), verdicts: make(chan mdlayher.Message, 1),
		messages: make(chan []byte, 2), parsed: make(chan nfqueue.Attribute, 2), stop: make(chan struct{}),
	}
	nf.Con = mdlayher.NewConn(p, 1)
	ctx, cancel := context.WithCancel(context.Background())
	err = nf.RegisterWithErrorFunc(ctx, func(a nfqueue.Attribute) int { p.parsed <- a; return 0 }, func(error) int { return 1 })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		close(p.stop)
		if err := nf.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// endOfTest is the packet ID of the message that the test sends after each message under test.
// The test needs it because go-nfqueue reports nothing about a message that it cannot parse.
const endOfTest = 0xfeedbeef

// parse returns the attributes that go-nfqueue has read from a payload. If go-nfqueue cannot
// parse the payload, ok is false.
func (p *otherParser) parse(payload []byte) (a nfqueue.Attribute, ok bool) {
	p.messages <- payload
	p.messages <- describe(endOfTest, nil, nil)
	for got := range p.parsed {
		if got.PacketID != nil && *got.PacketID == endOfTest {
			break
		}
		a, ok = got, true
	}
	return a, ok
}

// Send implements mdlayher.Socket.
func (p *otherParser) Send(m mdlayher.Message) error {
	if m.Header.Flags&mdlayher.Acknowledge != 0 {
		p.requests <- m
	} else {
		p.verdicts <- m
	}
	return nil
}

// SendMessages implements mdlayher.Socket.
func (p *otherParser) SendMessages([]mdlayher.Message) error { return os.ErrInvalid }

// Receive implements mdlayher.Socket.
func (p *otherParser) Receive() ([]mdlayher.Message, error) { return nil, os.ErrInvalid }

// ReceiveIter implements mdlayher.Socket.
func (p *otherParser) ReceiveIter() iter.Seq2[mdlayher.Message, error] {
	return func(yield func(mdlayher.Message, error) bool) {
		select {
		case request := <-p.requests:
			request.Header.Type = mdlayher.Error
			yield(mdlayher.Message{Header: request.Header, Data: make([]byte, 4)}, nil)
			return
		default:
		}
		select {
		case payload := <-p.messages:
			yield(mdlayher.Message{Header: mdlayher.Header{Type: typePacket}, Data: payload}, nil)
		case <-p.stop:
			yield(mdlayher.Message{}, os.ErrDeadlineExceeded)
		}
	}
}

// Close implements mdlayher.Socket.
func (p *otherParser) Close() error { return nil }

// check compares the results of parseQueued and go-nfqueue for a payload. It allows two
// differences. go-nfqueue rejects some messages that parseQueued accepts, because go-nfqueue
// also reads attributes that a worker does not need. go-nfqueue accepts an attribute of length
// 0, which the kernel never sends.
func (p *otherParser) check(t *testing.T, payload []byte) {
	t.Helper()
	got, identified := parseQueued(payload)
	other, ok := p.parse(payload)
	if !ok || hasLengthZero(payload) {
		return
	}
	if identified != (other.PacketID != nil) {
		t.Fatalf("identified: %v, go-nfqueue: %v", identified, !identified)
	}
	want := queued{id: value(other.PacketID), hook: value(other.Hook), mark: value(other.Mark), inInterface: value(other.InDev), outInterface: value(other.OutDev)}
	if content := value(other.Payload); len(content) > 0 {
		want.content = content
	}
	if len(got.content) == 0 {
		got.content = nil
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(queued{})); diff != "" {
		t.Errorf("% x (-go-nfqueue +parseQueued):\n%s", payload, diff)
	}
}

// value returns the value that p points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// hasLengthZero reports whether a list of attributes contains an attribute of length 0.
func hasLengthZero(payload []byte) bool {
	for rest := payload[min(len(payload), netlink.NetfilterHeaderSize):]; len(rest) >= 4; {
		length := int(binary.NativeEndian.Uint16(rest))
		if length == 0 {
			return true
		}
		rest = rest[min(len(rest), max(4, (length+3)&^3)):]
	}
	return false
}

func TestParseQueuedLikeGoNfqueue(t *testing.T) {
	p := newOtherParser(t)
	for _, payload := range samples() {
		for end := range len(payload) + 1 {
			p.check(t, payload[:end])
		}
		for i := range payload {
			for bit := range 8 {
				changed := append([]byte(nil), payload...)
				changed[i] ^= 1 << bit
				p.check(t, changed)
			}
		}
	}
}

// samples returns payloads of the kernel's messages about packets.
func samples() [][]byte {
	data := tcp4(80, syn)
	interfaces := netlink.AppendUint32(netlink.AppendUint32(describe(7, nil, data), attributeInInterface, 11), attributeOutInterface, 12)
	return [][]byte{
		describe(7, new(uint32(5)), data),
		interfaces,
		netlink.AppendAttribute(describe(7, nil, data), 99, []byte{1}),
		recordedUDP, recordedGSO,
	}
}

func FuzzParseQueued(f *testing.F) {
	for _, payload := range samples() {
		f.Add(payload)
	}
	p := newOtherParser(f)
	f.Fuzz(p.check)
}
