package queue

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/google/go-cmp/cmp"
	mdlayher "github.com/mdlayher/netlink"
	"golang.org/x/sys/cpu"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/internal/netlink"
	"github.com/sluicenet/sluice/dataplane/packet"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// toPort is an evaluator that allows only flows to one port.
type toPort uint16

func (p toPort) Evaluate(f flow.Flow) rule.Decision {
	side := rule.Side{Reason: rule.NoRuleMatched}
	if f.DstPort == uint16(p) {
		side = rule.Side{Verdict: rule.Allow, Reason: rule.Matched}
	}
	return rule.Decision{Egress: rule.Side{Verdict: rule.Allow, Reason: rule.Elsewhere}, Ingress: side}
}

// newWorker returns a worker without a queue. Its socket stores the verdicts that the worker
// sends, so that a test can read these verdicts.
func newWorker(t testing.TB, evaluator rule.Evaluator, events *Events) *worker {
	t.Helper()
	marks, err := ruleset.MarksOf(ruleset.DefaultMask)
	if err != nil {
		t.Fatal(err)
	}
	p := &Pool{config: Config{Marks: marks, Events: events}, ready: make(chan struct{})}
	p.release()
	p.evaluator.Store(&evaluatorInUse{evaluator, nil})
	w := &worker{pool: p}
	if w.socket, err = newSocket(w); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.socket.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// tcp4 returns a TCP packet from 10.0.0.1:40000 to the given port of 10.0.0.2.
func tcp4(port uint16, flags byte) []byte {
	b := make([]byte, 40)
	b[0], b[3], b[8], b[9] = 0x45, 40, 64, 6
	copy(b[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(b[20:], 40000)
	binary.BigEndian.PutUint16(b[22:], port)
	b[32], b[33] = 5<<4, flags
	return b
}

// unreachable4 returns an ICMP error from 10.0.0.1 about a packet that was sent to
// 10.0.0.last.
func unreachable4(last byte) []byte {
	b := make([]byte, 56)
	b[0], b[3], b[8], b[9] = 0x45, 56, 64, 1
	copy(b[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	b[20], b[28] = 3, 0x45
	copy(b[44:], []byte{10, 0, 0, last})
	return b
}

const (
	syn = 2
	ack = 16
)

// sent is a verdict that a worker sends to the kernel.
type sent struct {
	ID, Verdict, Mark uint32
	Marked            bool
}

// take returns and removes the verdicts that the socket has not written yet.
func take(t *testing.T, s *socket) []sent {
	t.Helper()
	var out []sent
	for rest := s.unsent; len(rest) > 0; {
		length := int(binary.NativeEndian.Uint32(rest))
		// Skip struct nlmsghdr and struct nfgenmsg, which precede the attributes.
		attributes, err := mdlayher.NewAttributeDecoder(rest[16+4 : length])
		if err != nil {
			t.Fatal(err)
		}
		attributes.ByteOrder = binary.BigEndian
		var v sent
		for attributes.Next() {
			switch attributes.Type() {
			case attributeVerdictHeader:
				v.Verdict = binary.BigEndian.Uint32(attributes.Bytes())
				v.ID = binary.BigEndian.Uint32(attributes.Bytes()[4:])
			case attributePacketMark:
				v.Mark, v.Marked = attributes.Uint32(), true
			}
		}
		if err := attributes.Err(); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
		rest = rest[(length+3)&^3:]
	}
	s.unsent = s.unsent[:0]
	return out
}

func TestVerdictKeepsTheMarkBitsOfOtherPrograms(t *testing.T) {
	w := newWorker(t, toPort(80), nil)
	marks := w.pool.config.Marks
	const others = 0xdead4000
	tests := map[string]struct {
		data []byte
		mark *uint32
		want sent
	}{
		"allowed":                     {tcp4(80, syn), new(uint32(others)), sent{7, nfqueue.NfAccept, others | marks.Accepted, true}},
		"denied":                      {tcp4(81, syn), new(uint32(others)), sent{7, nfqueue.NfAccept, others | marks.Denied, true}},
		"no mark: the kernel omits 0": {tcp4(80, syn), nil, sent{7, nfqueue.NfAccept, marks.Accepted, true}},
		"our bits are set before":     {tcp4(81, syn), new(others | marks.Mask), sent{7, nfqueue.NfAccept, others | marks.Denied, true}},
		// A packet from port 80 to port 40000 may be a reply.
		"mid-stream":         {reply(tcp4(40000, ack)), new(uint32(others)), sent{7, nfqueue.NfAccept, others | marks.Either, true}},
		"mid-stream, denied": {tcp4(81, ack), new(uint32(others)), sent{7, nfqueue.NfAccept, others | marks.Denied, true}},
		"ICMP error about a packet to its sender": {unreachable4(1), new(uint32(others)), sent{7, nfqueue.NfAccept, others | marks.Either, true}},
		"ICMP error about another packet":         {unreachable4(2), new(uint32(others)), sent{7, nfqueue.NfAccept, others | marks.Denied, true}},
		"unreadable":                              {tcp4(80, syn)[:30], new(uint32(others)), sent{7, nfqueue.NfDrop, 0, false}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w.begin()
			w.handle(describe(7, test.mark, test.data))
			w.end()
			if diff := cmp.Diff([]sent{test.want}, take(t, w.socket)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

// reply sets the source port of a packet to 80.
func reply(b []byte) []byte {
	binary.BigEndian.PutUint16(b[20:], 80)
	return b
}

func TestMessagesWithoutAPacketOrItsContent(t *testing.T) {
	w := newWorker(t, toPort(80), nil)
	w.begin()
	w.handle(netfilterHeader)
	w.handle(describe(7, nil, nil))
	w.handle(netlink.AppendAttribute(describe(8, nil, nil), attributePayload, nil))
	w.end()
	want := []sent{{ID: 7, Verdict: nfqueue.NfDrop}, {ID: 8, Verdict: nfqueue.NfDrop}}
	if diff := cmp.Diff(want, take(t, w.socket)); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if n, faults := w.counters.verdictErrors.Load(), w.counters.unreadable[packet.Truncated].Load(); n != 1 || faults != 2 {
		t.Errorf("%d messages without a packet and %d unreadable packets, want 1 and 2", n, faults)
	}
}

// For each packet, the worker reads a message and writes a message without allocating memory,
// whether or not there is a subscriber.
func TestNoAllocations(t *testing.T) {
	for name, interest := range map[string]interest{"no subscriber": nothing, "a subscriber": everything} {
		events := NewEvents()
		events.wanted.Store(interest)
		w := newWorker(t, toPort(80), events)
		receive := recorded(w.socket, tcp4(80, syn), tcp4(81, syn), tcp4(81, ack), tcp4(80, syn)[:30])
		n := testing.AllocsPerRun(1000, func() {
			receive()
			if sent := len(w.socket.unsent); sent != 4*verdictSize-8 {
				t.Fatalf("verdicts of %d bytes, want 3 with a mark and 1 without", sent)
			}
			w.socket.unsent = w.socket.unsent[:0]
		})
		if n != 0 {
			t.Errorf("%s: %v allocations for 4 packets, want none", name, n)
		}
	}
}

// recorded writes the packets to the buffer of the socket, as if the kernel had sent them as one
// batch. It returns a function that handles this batch.
func recorded(s *socket, packets ...[]byte) func() {
	for i, data := range packets {
		m := netlink.Begin(nil, netlink.Header{Type: typePacket})
		m = netlink.End(append(m, describe(uint32(i), nil, data)...), 0)
		s.headers[i].length = uint32(copy(s.buffer[i*messageSize:], m))
	}
	return func() {
		s.handler.begin()
		for i := range packets {
			s.handle(s.datagram(i))
		}
		s.handler.end()
	}
}

// Two workers never share a cache line, even if they are adjacent in memory.
func TestWorkersShareNoCacheLine(t *testing.T) {
	const line = unsafe.Sizeof(cpu.CacheLinePad{})
	var workers [2]worker
	first, second := &workers[0], &workers[1]
	end := uintptr(unsafe.Pointer(&first.counters)) + unsafe.Sizeof(first.counters)
	if begin := uintptr(unsafe.Pointer(&second.pool)); begin < end+line {
		t.Errorf("%d bytes between two workers, want at least %d", begin-end, line)
	}
}

// BenchmarkPacket measures the time that a worker needs for a batch of one packet, without the
// time of the kernel.
func BenchmarkPacket(b *testing.B) {
	for name, interest := range map[string]interest{"no subscriber": nothing, "a subscriber": everything} {
		b.Run(name, func(b *testing.B) {
			events := NewEvents()
			events.wanted.Store(interest)
			w := newWorker(b, toPort(80), events)
			receive := recorded(w.socket, tcp4(80, syn))
			b.ReportAllocs()
			for b.Loop() {
				receive()
				w.socket.unsent = w.socket.unsent[:0]
			}
		})
	}
}

// named is an evaluator that resolves names. The test fails if a name is resolved after the
// evaluator has been replaced.
type named struct {
	toPort
	t        *testing.T
	replaced bool
}

func (n *named) Pod(a netip.Addr) (string, bool) {
	if n.replaced {
		n.t.Error("a name was resolved by an evaluator that had been replaced")
	}
	return "pod/" + a.String(), true
}

func (n *named) Rule(s rule.Side) (rule.Source, bool) {
	return rule.Source{Tier: rule.NetworkPolicyTier, Policy: "default/db", Index: 2, Action: rule.ActionAccept}, s.Reason == rule.Matched
}

func (n *named) Passed(rule.Side) []rule.Source { return nil }

func (n *named) IsolatedBy(rule.Side) []string { return []string{"default/db"} }

func TestEvents(t *testing.T) {
	events := NewEvents()
	evaluator := &named{toPort: 80, t: t}
	w := newWorker(t, evaluator, events)
	w.pool.workers = []*worker{w}
	receive := func(packets ...[]byte) {
		w.begin()
		for _, data := range packets {
			w.handle(describe(7, nil, data))
		}
		w.end()
		w.socket.unsent = w.socket.unsent[:0]
	}
	receive(tcp4(80, syn))
	if len(events.ring) != 0 {
		t.Fatal("an event was published without a subscriber")
	}
	all, denied := events.subscribe(false), events.subscribe(true)
	receive(tcp4(80, syn), tcp4(81, syn), tcp4(80, syn)[:30])
	// Swap waits until the names in all earlier events have been resolved.
	w.pool.Swap(toPort(0))
	evaluator.replaced = true
	if got := next(t, all); got.Verdict != report.Allow || *got.Ingress.Policy != "default/db" || *got.Ingress.Rule != 2 || got.Egress != nil || got.SrcPod != "pod/10.0.0.1" || got.DstPort != 80 {
		t.Errorf("allowed: %+v", got)
	}
	for _, l := range []*subscriber{all, denied} {
		if got := next(t, l); got.Verdict != report.Deny || got.Ingress.Reason != "NoRuleMatched" || len(got.Ingress.IsolatedBy) != 1 || got.Ingress.Rule != nil {
			t.Errorf("denied: %+v", got)
		}
		if got := next(t, l); got.Verdict != report.Unreadable || got.Fault != "truncated" || got.Src.IsValid() {
			t.Errorf("unreadable: %+v", got)
		}
	}
	all.close()

	t.Run("missed events are counted", func(t *testing.T) {
		const flood = 10 * ringSize
		for range flood {
			receive(tcp4(81, syn))
		}
		events.flush()
		// Each delivered event contains the number of events that the subscriber missed before it.
		all, got, missed := flood, 0, 0
		for got+missed < all {
			if len(denied.c) == 0 {
				receive(tcp4(81, syn))
				events.flush()
				all++
			}
			missed += int(next(t, denied).Missed)
			got++
		}
		if got+missed != all || missed == 0 {
			t.Errorf("%d events of %d, %d missed", got, all, missed)
		}
	})
	denied.close()
	if events.demand() != nothing || events.stop != nil {
		t.Error("without a subscriber, events are still delivered")
	}
	receive(tcp4(81, syn))
	if len(events.ring) != 0 {
		t.Error("an event was published without a subscriber")
	}
}

func next(t *testing.T, l *subscriber) report.Event {
	t.Helper()
	select {
	case event := <-l.c:
		return event
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
		return report.Event{}
	}
}

func TestParseKernelQueue(t *testing.T) {
	got, err := parseKernelQueue(" 2700  31337     12 2   256     3     4       99  1")
	want := kernelQueue{number: 2700, port: 31337, waiting: 12, queueDropped: 3, userDropped: 4}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, line := range []string{"", "1 2 3", "1 2 3 4 5 6 x"} {
		if _, err := parseKernelQueue(line); err == nil {
			t.Errorf("%q was parsed without an error", line)
		}
	}
}
