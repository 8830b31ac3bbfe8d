package queue

import (
	"net/netip"
	"testing"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/report"
)

// holdOnly is a Hold that holds packets from and to only one address.
type holdOnly netip.Addr

func (h holdOnly) Holds(peer netip.Addr) bool { return peer == netip.Addr(h) }

// If the peer of a denied packet may be a new pod of another node, the worker moves the packet
// to the hold queue. It also marks the packet as denied, so that the rules deny the packet if
// no process serves the hold queue. The worker counts the packet only when it evaluates the
// packet again.
func TestDeniedPacketsAreMovedToTheHoldQueue(t *testing.T) {
	const (
		others = 0xdead4000
		// move is verdict NF_QUEUE with flag NF_VERDICT_FLAG_QUEUE_BYPASS for queue 103.
		move = 103<<16 | 0x8000 | 3
	)
	source := holdOnly(netip.MustParseAddr("10.0.0.1"))
	events := NewEvents()
	events.wanted.Store(everything)
	w := newWorker(t, toPort(80), events)
	marks := w.pool.config.Marks
	w.pool.config.Base, w.pool.config.Queues = 100, 3
	tests := map[string]struct {
		hold  Hold
		data  []byte
		want  sent
		moved bool
	}{
		"denied":                 {source, tcp4(81, syn), sent{7, move, others | marks.Denied, true}, true},
		"allowed":                {source, tcp4(80, syn), sent{7, nfqueue.NfAccept, others | marks.Accepted, true}, false},
		"another peer":           {holdOnly(netip.MustParseAddr("10.0.0.2")), tcp4(81, syn), sent{7, nfqueue.NfAccept, others | marks.Denied, true}, false},
		"no hold queue":          {nil, tcp4(81, syn), sent{7, nfqueue.NfAccept, others | marks.Denied, true}, false},
		"mid-stream, denied":     {source, tcp4(81, ack), sent{7, nfqueue.NfAccept, others | marks.Denied, true}, false},
		"ICMP error to own flow": {source, unreachable4(1), sent{7, nfqueue.NfAccept, others | marks.Either, true}, false},
		"unreadable":             {source, tcp4(81, syn)[:30], sent{7, nfqueue.NfDrop, 0, false}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w.pool.config.Hold = test.hold
			var before, after report.Stats
			var sidesBefore, sidesAfter sideCounts
			w.counters.addTo(&before, &sidesBefore)
			w.begin()
			w.handle(describe(7, new(uint32(others)), test.data))
			w.end()
			w.counters.addTo(&after, &sidesAfter)
			if diff := cmp.Diff([]sent{test.want}, take(t, w.socket)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
			if (after.Packets == before.Packets) != test.moved || test.moved && (after.Denied > before.Denied || sidesAfter != sidesBefore) {
				t.Errorf("counters before: %+v, after: %+v", before, after)
			}
		})
	}
}

// Moving packets to the hold queue allocates no memory.
func TestMovingAllocatesNothing(t *testing.T) {
	w := newWorker(t, toPort(80), nil)
	w.pool.config.Hold = holdOnly(netip.MustParseAddr("10.0.0.1"))
	receive := recorded(w.socket, tcp4(81, syn), tcp4(80, syn))
	n := testing.AllocsPerRun(1000, func() {
		receive()
		w.socket.unsent = w.socket.unsent[:0]
	})
	if n != 0 {
		t.Errorf("%v allocations for 2 packets, want none", n)
	}
}
