// Package flows stores the latest flow events of all nodes, and sends them to browsers.
package flows

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/ui/source"
)

const (
	// kept is the number of events that are stored.
	kept = 2000
	// minutes is the number of minutes for which flows are counted.
	minutes = 30
)

// Event is a flow event with the workloads of both ends.
type Event struct {
	// ID increases by 1 with each event.
	ID   uint64 `json:"id"`
	Node string `json:"node,omitempty"`
	*report.Event
	// Source and Destination are the ends of the flow.
	Source      End `json:"source"`
	Destination End `json:"destination"`
}

// End is one end of a flow.
type End struct {
	// Pod is "namespace/name", or "" if the address belongs to no pod.
	Pod string `json:"pod,omitempty"`
	// Workload is the Ref of the workload, as in package reach.
	Workload string `json:"workload,omitempty"`
}

// Minute contains the number of flows in one minute.
type Minute struct {
	Allowed int `json:"allowed"`
	Denied  int `json:"denied"`
}

// Hub stores events. Its methods may be called concurrently.
type Hub struct {
	source  source.Source
	resolve func(netip.Addr) End

	mu sync.Mutex
	// started is true after the first call of Start.
	started bool
	events  []Event
	next    uint64
	minutes [minutes]Minute
	// latest is the minute since the Unix epoch that minutes[minutes-1] counts.
	latest  int64
	notes   map[string]source.Note
	changed chan struct{}
}

// NewHub returns a hub for the flows of a source. The `resolve` parameter returns the pod with an
// address.
func NewHub(s source.Source, resolve func(netip.Addr) End) *Hub {
	return &Hub{source: s, resolve: resolve, next: 1, notes: map[string]source.Note{}, changed: make(chan struct{})}
}

// Start opens the streams of the source. Further calls have no effect. The streams end with the
// context.
func (h *Hub) Start(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.started {
		h.started = true
		go h.source.Flows(ctx, h.add, h.note)
	}
}

func (h *Hub) add(node string, e *report.Event) {
	event := Event{Node: node, Event: e, Source: h.end(e.Src, e.SrcPod), Destination: h.end(e.Dst, e.DstPod)}
	h.mu.Lock()
	defer h.mu.Unlock()
	event.ID = h.next
	h.next++
	if len(h.events) == 2*kept {
		h.events = slices.Clone(h.events[kept:])
	}
	h.events = append(h.events, event)
	h.shift(time.Now())
	switch e.Verdict {
	case report.Allow:
		h.minutes[minutes-1].Allowed++
	case report.Deny, report.Unknown, report.Unreadable:
		h.minutes[minutes-1].Denied++
	case report.MidStream: // It is neither allowed nor denied.
	}
	h.notify()
}

// end returns an end of a flow. An event contains the names of pods only if they are on the node
// of the event.
func (h *Hub) end(address netip.Addr, pod string) End {
	end := h.resolve(address)
	if pod != "" && end.Pod != pod {
		return End{Pod: pod}
	}
	return end
}

func (h *Hub) note(n source.Note) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notes[n.Node] = n
	h.notify()
}

// notify wakes all subscribers. The caller must hold the lock.
func (h *Hub) notify() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// shift moves the counts so that the last one counts the current minute. The caller must hold the
// lock.
func (h *Hub) shift(now time.Time) {
	minute := now.Unix() / 60
	for steps := min(minute-h.latest, minutes); steps > 0; steps-- {
		copy(h.minutes[:], h.minutes[1:])
		h.minutes[minutes-1] = Minute{}
	}
	h.latest = minute
}

// Counts returns the number of flows in each of the last 30 minutes. The current minute is the last
// one.
func (h *Hub) Counts() []Minute {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shift(time.Now())
	return slices.Clone(h.minutes[:])
}

// sortedNotes returns the states of the streams, sorted by node. The caller must hold the lock.
func (h *Hub) sortedNotes() []source.Note {
	out := make([]source.Note, 0, len(h.notes))
	for _, n := range h.notes {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b source.Note) int { return strings.Compare(a.Node, b.Node) })
	return out
}

// Batch contains the events after a subscriber's last one.
type Batch struct {
	Events []Event `json:"events"`
	// Missed is the number of events that are not stored any more.
	Missed uint64        `json:"missed,omitempty"`
	Notes  []source.Note `json:"notes"`
	// Last is the ID of the last event.
	Last uint64 `json:"last"`
}

// since returns the events with higher IDs, and a channel that is closed when there are more.
func (h *Hub) since(id uint64) (Batch, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := Batch{Events: []Event{}, Notes: h.sortedNotes(), Last: h.next - 1}
	if len(h.events) > 0 && id < b.Last {
		first := max(h.events[0].ID, b.Last-min(b.Last, kept)+1)
		b.Events = slices.Clone(h.events[len(h.events)-int(b.Last-max(first, id+1)+1):])
		if id > 0 && first > id+1 {
			b.Missed = first - id - 1
		}
	}
	return b, h.changed
}
