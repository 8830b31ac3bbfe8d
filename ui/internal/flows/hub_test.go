package flows

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/ui/source"
)

func newHub() *Hub {
	return NewHub(&source.Files{}, func(a netip.Addr) End {
		if a == netip.MustParseAddr("10.0.0.1") {
			return End{Pod: "shop/web-1", Workload: "shop/deployment/web"}
		}
		return End{}
	})
}

// TestCounts checks that each event counts as allowed or as denied, except mid-stream packets.
func TestCounts(t *testing.T) {
	h := newHub()
	for verdict, times := range map[report.PacketVerdict]int{report.Allow: 3, report.Deny: 2, report.Unknown: 1, report.MidStream: 5} {
		for range times {
			h.add("node-1", &report.Event{Verdict: verdict})
		}
	}
	var sum Minute // The minute can change during the test.
	for _, m := range h.Counts() {
		sum.Allowed, sum.Denied = sum.Allowed+m.Allowed, sum.Denied+m.Denied
	}
	if want := (Minute{Allowed: 3, Denied: 3}); sum != want {
		t.Errorf("counts %+v, want %+v", sum, want)
	}
	h.shift(time.Now().Add(minutes * time.Minute))
	for _, m := range h.minutes {
		if m != (Minute{}) {
			t.Errorf("%+v after %d minutes", m, minutes)
		}
	}
}

// TestEnds checks that the pod of an event replaces another pod that had the same address.
func TestEnds(t *testing.T) {
	h := newHub()
	web := netip.MustParseAddr("10.0.0.1")
	h.add("node-1", &report.Event{Src: web, SrcPod: "shop/web-1", Dst: web, DstPod: "shop/web-0"})
	batch, _ := h.since(0)
	if got, want := batch.Events[0].Source, (End{Pod: "shop/web-1", Workload: "shop/deployment/web"}); got != want {
		t.Errorf("source %+v, want %+v", got, want)
	}
	if got, want := batch.Events[0].Destination, (End{Pod: "shop/web-0"}); got != want {
		t.Errorf("destination %+v, want %+v", got, want)
	}
}

// TestSince checks that a subscriber receives each event once, and the number of events that it
// missed.
func TestSince(t *testing.T) {
	h := newHub()
	last := uint64(0)
	read := func(events int, missed uint64) {
		t.Helper()
		b, changed := h.since(last)
		if len(b.Events) != events || b.Missed != missed || b.Last < last {
			t.Errorf("%d events and %d missed after %d, want %d and %d", len(b.Events), b.Missed, last, events, missed)
		}
		for i, e := range b.Events {
			if want := b.Last - uint64(events-1-i); e.ID != want {
				t.Fatalf("event %d has the ID %d, want %d", i, e.ID, want)
			}
		}
		last = b.Last
		select {
		case <-changed:
			t.Error("a change without an event")
		default:
		}
		h.note(source.Note{Node: "node-1", Listening: true})
		select {
		case <-changed:
		default:
			t.Error("no change after a note")
		}
	}
	read(0, 0)
	for _, n := range []int{1, 3, kept, kept + 7, 3*kept + 1} {
		for range n {
			h.add("node-1", &report.Event{Verdict: report.Allow})
		}
		read(min(n, kept), uint64(max(0, n-kept)))
	}
}
