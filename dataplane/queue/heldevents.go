package queue

import (
	"maps"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
)

const (
	// maxReleased is the largest number of released packets that are stored until their events
	// are delivered.
	maxReleased = 4096
	// releasedTime is the longest time between the release of a packet and the event about the
	// packet. If no event follows within this time, the rules have accepted the packet without an
	// evaluation, and a later event of the flow is about another packet.
	releasedTime = time.Second
)

// released describes a packet that was held and then released.
type released struct {
	at   time.Time
	held time.Duration
}

// Released reports that a packet was held and is about to be released. The next event of the
// flow reports how long the packet was held. The receiver e may be nil.
func (e *Events) Released(f flow.Flow, held time.Duration) {
	if e.demand() == nothing {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if len(e.released) >= maxReleased {
		maps.DeleteFunc(e.released, func(_ flow.Flow, r released) bool { return now.Sub(r.at) > releasedTime })
	}
	if len(e.released) < maxReleased {
		e.released[f] = released{now, held}
	}
}

// Unknown publishes an event for a packet of an unknown pod that is accepted or dropped because
// of the failure policy. The receiver e may be nil.
func (e *Events) Unknown(f flow.Flow, held time.Duration) {
	if e.demand() == nothing {
		return
	}
	e.publish(&record{at: time.Now(), flow: f, verdict: report.Unknown, held: held})
}

// heldFor returns the time for which the packet of a record was held before it was evaluated.
// The caller must hold mu.
func (e *Events) heldFor(r *record) time.Duration {
	found, ok := e.released[r.flow]
	if !ok || r.at.Before(found.at) {
		return r.held
	}
	delete(e.released, r.flow)
	if r.at.Sub(found.at) > releasedTime {
		return r.held
	}
	return found.held
}
