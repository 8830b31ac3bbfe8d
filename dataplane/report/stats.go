package report

import "time"

// Stats counts what the workers of a dataplane have done since it started.
type Stats struct {
	// Packets is the number of packets that entered user space, in Batches
	// batches.
	Packets uint64 `json:"packets"`
	Batches uint64 `json:"batches"`
	// Accepted, Denied and MidStream are packets by their verdict. Together with
	// the sum of Unreadable they are Packets.
	Accepted uint64 `json:"accepted"`
	Denied   uint64 `json:"denied"`
	// MidStream counts two kinds of packets. A TCP packet that does not open a
	// connection, and that policies allow only in the opposite direction: it is
	// accepted if connection tracking did not see the start of the connection,
	// otherwise dropped. And an ICMP error about a packet, sent to the sender of
	// that packet: it is accepted if connection tracking has the connection,
	// otherwise dropped.
	MidStream uint64 `json:"midStream"`
	// Unreadable counts packets that were dropped because they could not be
	// decoded, by reason.
	Unreadable map[string]uint64 `json:"unreadable,omitempty"`
	// Sides counts the verdicts of local pods, one or two for each packet. It
	// always has all kinds, in the same order.
	Sides []SideCount `json:"sides"`
	// VerdictErrors counts verdicts for which the kernel no longer had a packet.
	VerdictErrors uint64 `json:"verdictErrors"`
	// QueueDropped counts packets that met a full queue, SocketDropped packets
	// that met a full socket buffer of a worker. The failure policy decided on
	// them.
	QueueDropped  uint64 `json:"queueDropped"`
	SocketDropped uint64 `json:"socketDropped"`
	// Waiting is the number of packets that wait in the queues now.
	Waiting uint64 `json:"waiting"`
	// LookupTimes and BatchTimes are samples of one batch in 64. LookupTimes has
	// the time of the first evaluation of the batch. BatchTimes has the time from
	// when the packets of the batch have been read until the kernel has their
	// verdicts.
	LookupTimes Histogram `json:"-"`
	BatchTimes  Histogram `json:"-"`
}

// SideCount counts the verdicts of one kind.
type SideCount struct {
	Direction string `json:"direction"`
	Family    string `json:"family"`
	Protocol  string `json:"protocol"`
	Verdict   string `json:"verdict"`
	Count     uint64 `json:"count"`
}

// Histogram is a distribution of durations.
type Histogram struct {
	// Count is the number of durations, Sum is their sum.
	Count uint64
	Sum   time.Duration
	// Buckets maps each upper bound to the number of durations that are not
	// longer.
	Buckets map[time.Duration]uint64
}
