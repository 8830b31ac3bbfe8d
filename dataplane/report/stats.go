package report

import "time"

// Stats contains the counters of a dataplane's workers since the dataplane started.
type Stats struct {
	// Packets is the number of packets that the kernel passed to user space. Batches is
	// the number of batches in which the workers read these packets.
	Packets uint64 `json:"packets"`
	Batches uint64 `json:"batches"`
	// Accepted, Denied and MidStream count packets by verdict. Accepted, Denied, MidStream
	// and all values of Unreadable add up to Packets.
	Accepted uint64 `json:"accepted"`
	Denied   uint64 `json:"denied"`
	// MidStream counts two kinds of packets:
	//
	//   - TCP packets that do not open a connection and may be replies: policies deny the
	//     flow of the packet, but allow its reverse direction. The rules accept such a packet
	//     if connection tracking did not see the start of the connection, and drop it
	//     otherwise.
	//   - ICMP errors that a pod sends about a packet that the pod received. The rules
	//     accept such an error if the connection of that packet is in the conntrack table,
	//     and drop the error otherwise.
	MidStream uint64 `json:"midStream"`
	// Unreadable counts the packets that were dropped because they could not be decoded,
	// by reason.
	Unreadable map[string]uint64 `json:"unreadable,omitempty"`
	// Sides counts the verdicts of the sides that belong to local pods. Each evaluated packet
	// adds one or two verdicts. The list always contains every kind of verdict, in the same
	// order.
	Sides []SideCount `json:"sides"`
	// VerdictErrors counts verdicts that the kernel rejected because it no longer held the
	// packet.
	VerdictErrors uint64 `json:"verdictErrors"`
	// QueueDropped counts packets that arrived at a full queue. SocketDropped counts
	// packets that did not fit into a worker's full socket buffer. The failure policy
	// decided whether these packets were accepted or dropped. These numbers and Waiting do not
	// include the flood queue.
	QueueDropped  uint64 `json:"queueDropped"`
	SocketDropped uint64 `json:"socketDropped"`
	// Waiting is the number of packets that currently wait in the queues.
	Waiting uint64 `json:"waiting"`
	// FloodQueue contains the counters of the flood queue. It is nil if there is no flood queue.
	FloodQueue *FloodQueue `json:"floodQueue,omitempty"`
	// LookupTimes and BatchTimes contain measurements of one batch in 64. LookupTimes contains
	// the duration of the first evaluation in the batch. BatchTimes contains the time from the
	// end of reading the batch until the kernel has received all verdicts for the batch.
	LookupTimes Histogram `json:"-"`
	BatchTimes  Histogram `json:"-"`
}

// SideCount is the number of verdicts of one kind.
type SideCount struct {
	Direction string `json:"direction"`
	Family    string `json:"family"`
	Protocol  string `json:"protocol"`
	Verdict   string `json:"verdict"`
	Count     uint64 `json:"count"`
}

// Histogram is a distribution of durations.
type Histogram struct {
	// Count is the number of durations. Sum is the sum of all durations.
	Count uint64
	Sum   time.Duration
	// Buckets maps each upper bound to the number of durations that are less than or equal
	// to the bound.
	Buckets map[time.Duration]uint64
}
