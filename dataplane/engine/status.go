package engine

import (
	"time"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// Status is what the packet path does now.
type Status struct {
	// Node is whose tree is in use, empty before the first.
	Node string `json:"node"`
	// Started is when this dataplane began.
	Started time.Time `json:"started"`
	// Published is the generation that the state directory has as its current
	// one, Seen the newest that packets are judged by, and Generation the one
	// that holds for every packet, also of connections that are older. 0 is none
	// yet.
	Published  uint64 `json:"published"`
	Seen       uint64 `json:"seen"`
	Generation uint64 `json:"generation"`
	// Refused is a published tree that could not be used, until one is that can.
	Refused *RefusedTree `json:"refused,omitempty"`

	// Pods are those of the tree in use, IsolatedPods those whose packets are
	// judged in at least one direction.
	Pods         int `json:"pods"`
	IsolatedPods int `json:"isolatedPods"`

	// Queueing is empty as long as nothing is enforced.
	Queueing      ruleset.Queueing      `json:"queueing"`
	QueueBase     uint16                `json:"queueBase"`
	Queues        uint16                `json:"queues"`
	FailurePolicy ruleset.FailurePolicy `json:"failurePolicy"`
	Deny          ruleset.Deny          `json:"deny"`
	MarkMask      uint32                `json:"markMask"`
	// Repairs counts how often somebody else changed the rules.
	Repairs  uint64      `json:"repairs"`
	Verdicts queue.Stats `json:"verdicts"`
	// Unjudged is how many packets of isolated pods the failure policy Open let
	// pass without a verdict, since the rules were made: also before this
	// dataplane began.
	Unjudged uint64 `json:"unjudged"`
	// JudgedAgain is what became of open connections.
	JudgedAgain JudgedAgain `json:"judgedAgain"`
}

// RefusedTree is a published tree that could not be used.
type RefusedTree struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// JudgedAgain sums up the walks over open connections.
type JudgedAgain struct {
	// Walks is how many there were, but for those that looked once more and
	// changed nothing. The other numbers are their sums.
	Walks    uint64        `json:"walks"`
	Accepted uint64        `json:"accepted"`
	Refused  uint64        `json:"refused"`
	Cleared  uint64        `json:"cleared"`
	Took     time.Duration `json:"tookNanoseconds"`
	// Last is the newest walk, nil before the first.
	Last *Walk `json:"last,omitempty"`
}

// Walk is one walk over open connections.
type Walk struct {
	// At is when it ended.
	At time.Time `json:"at"`
	conntrack.Result
}

// add counts one more walk.
func (j *JudgedAgain) add(at time.Time, r conntrack.Result) {
	j.Walks++
	j.Accepted += uint64(r.Accepted)
	j.Refused += uint64(r.Refused)
	j.Cleared += uint64(r.Cleared)
	j.Took += r.Took
	j.Last = &Walk{At: at, Result: r}
}

// statusOf is the part of a status that the configuration gives.
func statusOf(c Config) Status {
	return Status{
		QueueBase:     c.QueueBase,
		Queues:        c.Queues,
		FailurePolicy: c.FailurePolicy,
		Deny:          c.Deny,
		MarkMask:      c.Marks.Mask,
	}
}

// Status reads the counters. It does not wait for a generation that is being
// taken up.
func (e *Engine) Status() (Status, error) {
	s := statusOf(e.config)
	s.Started = e.started
	s.Queueing = e.kernel.Queueing
	s.Generation = e.acknowledged.Load()
	s.Repairs = e.repairs.Load()
	e.seenMu.Lock()
	s.Node, s.Seen, s.Pods, s.IsolatedPods = e.seen.Node, e.seen.Number, e.seen.Pods, e.seen.IsolatedPods
	s.JudgedAgain = e.judgedAgain
	e.seenMu.Unlock()
	var err error
	if s.Verdicts, err = e.pool.Stats(); err != nil {
		return s, err
	}
	s.Unjudged, err = e.table.Unjudged()
	return s, err
}
