// Package report defines the JSON types that a dataplane reports: its status, which
// includes statistics, and one event for each packet that it evaluates.
//
// Programs that read these reports, such as the agent and the command-line tools, need only
// this package, so they do not link netfilter code.
package report

import "time"

// Status describes the state of a dataplane.
type Status struct {
	// Node is the name of the node for which the tree in use was compiled. It is empty until
	// the dataplane uses a tree.
	Node string `json:"node"`
	// Version is the version of the dataplane. Older dataplanes do not report it.
	Version string `json:"version,omitempty"`
	// Started is the time at which this dataplane started.
	Started time.Time `json:"started"`
	// Published is the generation of the current tree in the state directory. Seen is the
	// newest generation with which new connections are evaluated. Generation is the
	// acknowledged generation: the dataplane enforces it for every packet, including packets of
	// connections that were open before the generation was published. Each number is 0 until
	// such a generation exists.
	Published  uint64 `json:"published"`
	Seen       uint64 `json:"seen"`
	Generation uint64 `json:"generation"`
	// Rejected describes the published tree if the dataplane cannot use it. Otherwise
	// Rejected is nil.
	Rejected *RejectedTree `json:"rejected,omitempty"`

	// TreeFormats lists the versions of the tree format that the dataplane can read. While
	// the dataplane runs, the agent publishes only trees in one of these formats.
	TreeFormats []uint64 `json:"treeFormats,omitempty"`
	// Standby is set while this dataplane waits for another dataplane of the node to end. It
	// waits because the other dataplane enforces policies and cannot hand over to it, for
	// example because the version of the other dataplane is older.
	Standby bool `json:"standby,omitempty"`

	// Pods is the number of pods in the tree in use. IsolatedPods is the number of these
	// pods that are isolated in at least one direction.
	Pods         int `json:"pods"`
	IsolatedPods int `json:"isolatedPods"`

	// Queueing is the method by which the rules send packets to queues. It is empty until
	// the dataplane has installed its rules.
	Queueing      string `json:"queueing"`
	QueueBase     uint16 `json:"queueBase"`
	Queues        uint16 `json:"queues"`
	FailurePolicy string `json:"failurePolicy"`
	Deny          string `json:"deny"`
	MarkMask      uint32 `json:"markMask"`
	// Repairs counts how often the dataplane reinstalled the nftables table because
	// another program had modified it.
	Repairs  uint64 `json:"repairs"`
	Verdicts Stats  `json:"verdicts"`
	// Hits states how many rules have decided a packet. It is nil if rules are not counted.
	Hits *Hits `json:"hits,omitempty"`
	// Flooding contains at most MaxFloodingPods pods that have flooded within the last minute. The
	// pod with the highest rate is first.
	Flooding []FloodingPod `json:"flooding,omitempty"`
	// Unevaluated counts packets of isolated pods that failure policy Open accepted without a
	// lookup. The count starts when the rules are created, which may be before this dataplane
	// started.
	Unevaluated uint64 `json:"unevaluated"`
	// Bridges describes the bridges to which isolated pods are connected. It is nil if there
	// are no such bridges.
	Bridges *Bridges `json:"bridges,omitempty"`
	// PodPackets describes whether the packets of pods reach the rules. It is nil if the kernel
	// does not support counters in nftables sets, or if the dataplane has no rules.
	PodPackets *PodPackets `json:"podPackets,omitempty"`
	// Held describes the packets of pods that the tree in use does not contain yet.
	Held Held `json:"held"`
	// Conntrack describes how full the connection tracking table is. It is nil until the
	// dataplane has opened its queues.
	Conntrack *Conntrack `json:"conntrack,omitempty"`
	// Reevaluated summarizes the re-evaluation of open connections.
	Reevaluated Reevaluated `json:"reevaluated"`
}

// RejectedTree describes a published tree that the dataplane cannot use.
type RejectedTree struct {
	// At is the time of the rejection. Reason is the error that caused the rejection.
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// Bridges describes the bridges to which isolated pods of a node are connected. It also states
// which packets between pods of the same bridge bypass policies.
type Bridges struct {
	Names []string `json:"names"`
	// Disabled lists the settings of br_netfilter that must be 1 but have another value. If a
	// setting is disabled, packets between the pods of a bridge bypass the rules.
	Disabled []string `json:"disabled,omitempty"`
	// TaggedFrames states why the dataplane cannot drop VLAN-tagged frames between the pods of
	// a bridge. It is empty if the dataplane drops such frames.
	TaggedFrames string `json:"taggedFrames,omitempty"`
}

// Reevaluated contains totals over all re-evaluations of the open connections. A walk is one
// re-evaluation.
type Reevaluated struct {
	// Walks is the number of walks. After a walk that changed marks, the dataplane repeats the
	// walk to check the marks. A check counts only if it changed a mark. The other fields
	// include only walks that count.
	Walks uint64 `json:"walks"`
	// Accepted, Denied and Cleared count the connection marks that walks changed, by the new
	// value of the mark. A walk clears a mark when neither the source nor the destination of
	// the connection is isolated any longer.
	Accepted uint64        `json:"accepted"`
	Denied   uint64        `json:"denied"`
	Cleared  uint64        `json:"cleared"`
	Took     time.Duration `json:"tookNanoseconds"`
	// Last is the latest walk that counts. It is nil before the first walk.
	Last *Walk `json:"last,omitempty"`
}

// Add adds a walk to the totals.
func (r *Reevaluated) Add(w Walk) {
	r.Walks++
	r.Accepted += uint64(w.Accepted)
	r.Denied += uint64(w.Denied)
	r.Cleared += uint64(w.Cleared)
	r.Took += w.Took
	r.Last = &w
}

// Walk is the result of one re-evaluation of the open connections.
type Walk struct {
	// At is the time at which the walk ended.
	At time.Time `json:"at"`
	// Connections is the number of connections that the walk evaluated.
	Connections int `json:"connections"`
	// Accepted, Denied and Cleared count the connection marks that the walk changed, by the new
	// value of the mark.
	Accepted int `json:"accepted"`
	Denied   int `json:"denied"`
	Cleared  int `json:"cleared"`
	// Took is the duration of the walk. It starts with the request for the list of connections
	// and ends after the last mark has been set.
	Took time.Duration `json:"tookNanoseconds"`
}
