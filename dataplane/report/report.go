// Package report holds the JSON types in which a dataplane reports: its status
// with its statistics, and one event for each packet that it evaluates.
//
// Everything that reads them, such as the agent, the commands and the metrics,
// needs only this package and links no netfilter code.
package report

import "time"

// Status is the state of a dataplane.
type Status struct {
	// Node is the node that the tree in use was built for. It is empty before
	// the first tree.
	Node string `json:"node"`
	// Started is when this dataplane started.
	Started time.Time `json:"started"`
	// Published is the generation that the state directory names as its current
	// one. Seen is the newest generation by which new connections are evaluated.
	// Generation is the acknowledged one: it holds for every packet, also of
	// connections that were open before it. Each is 0 before the first.
	Published  uint64 `json:"published"`
	Seen       uint64 `json:"seen"`
	Generation uint64 `json:"generation"`
	// Rejected describes the published tree if it cannot be used, otherwise it
	// is nil.
	Rejected *RejectedTree `json:"rejected,omitempty"`

	// Pods is the number of pods in the tree in use. IsolatedPods is how many of
	// them are isolated in at least one direction.
	Pods         int `json:"pods"`
	IsolatedPods int `json:"isolatedPods"`

	// Queueing is how the rules queue packets. It is empty while nothing is
	// enforced.
	Queueing      string `json:"queueing"`
	QueueBase     uint16 `json:"queueBase"`
	Queues        uint16 `json:"queues"`
	FailurePolicy string `json:"failurePolicy"`
	Deny          string `json:"deny"`
	MarkMask      uint32 `json:"markMask"`
	// Repairs counts how often the table was reinstalled because another program
	// had modified it.
	Repairs  uint64 `json:"repairs"`
	Verdicts Stats  `json:"verdicts"`
	// Unevaluated counts packets of isolated pods that failure policy Open
	// accepted without a verdict. It counts from the creation of the rules, which
	// may be before this dataplane started.
	Unevaluated uint64 `json:"unevaluated"`
	// Reevaluated is the result of evaluating open connections again.
	Reevaluated Reevaluated `json:"reevaluated"`
}

// RejectedTree is a published tree that cannot be used.
type RejectedTree struct {
	// At is when it was rejected, Reason is why.
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// Reevaluated sums up the walks over open connections.
type Reevaluated struct {
	// Walks counts the walks, except for walks that only checked the marks of the
	// previous walk and changed none. The other numbers are sums over these walks.
	Walks uint64 `json:"walks"`
	// Accepted, Denied and Cleared count the marks that changed, by the new mark.
	// A mark is cleared if no end of the connection is isolated any more.
	Accepted uint64        `json:"accepted"`
	Denied   uint64        `json:"denied"`
	Cleared  uint64        `json:"cleared"`
	Took     time.Duration `json:"tookNanoseconds"`
	// Last is the newest walk. It is nil before the first.
	Last *Walk `json:"last,omitempty"`
}

// Add counts one more walk.
func (r *Reevaluated) Add(w Walk) {
	r.Walks++
	r.Accepted += uint64(w.Accepted)
	r.Denied += uint64(w.Denied)
	r.Cleared += uint64(w.Cleared)
	r.Took += w.Took
	r.Last = &w
}

// Walk is one walk over open connections.
type Walk struct {
	// At is when the walk ended.
	At time.Time `json:"at"`
	// Connections is the number of connections that were evaluated.
	Connections int `json:"connections"`
	// Accepted, Denied and Cleared are as in Reevaluated.
	Accepted int `json:"accepted"`
	Denied   int `json:"denied"`
	Cleared  int `json:"cleared"`
	// Took is the time from the request for the list of connections until the
	// last mark was set.
	Took time.Duration `json:"tookNanoseconds"`
}
