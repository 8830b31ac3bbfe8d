package queue

import (
	"sync/atomic"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/packet"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// Protocol classes by which verdicts are counted.
const (
	countTCP = iota
	countUDP
	countSCTP
	countICMP
	countOther
	protocols
)

var protocolNames = [protocols]string{"TCP", "UDP", "SCTP", "ICMP", "other"}

func protocolClass(p flow.Protocol) int {
	switch p {
	case flow.TCP:
		return countTCP
	case flow.UDP:
		return countUDP
	case flow.SCTP:
		return countSCTP
	case flow.ICMP, flow.ICMPv6:
		return countICMP
	default:
		return countOther
	}
}

// counters are one worker's. Only the worker writes them.
type counters struct {
	packets, batches atomic.Uint64
	accepted         atomic.Uint64
	refused          atomic.Uint64
	midStream        atomic.Uint64
	verdictErrors    atomic.Uint64
	overruns         atomic.Uint64
	unreadable       [packet.Faults]atomic.Uint64
	// sides: direction, family (0 is IPv4), protocol class, verdict.
	sides [2][2][protocols][2]atomic.Uint64
	// lookups and batchTimes are of samples.
	lookups, batchTimes histogram
}

func (c *counters) countSide(d rule.Direction, f flow.Flow, s rule.Side) {
	if !s.Evaluated() {
		return
	}
	family := 0
	if f.Src.Is6() {
		family = 1
	}
	c.sides[d][family][protocolClass(f.Protocol)][s.Verdict].Add(1)
}

// Stats is what a pool has done since it was opened.
type Stats struct {
	// Packets entered user space, in Batches.
	Packets uint64 `json:"packets"`
	Batches uint64 `json:"batches"`
	// Accepted, Refused, MidStream and the sum of Unreadable are Packets.
	Accepted uint64 `json:"accepted"`
	Refused  uint64 `json:"refused"`
	// MidStream are TCP packets that open nothing and are allowed only in the
	// orientation that is not their own: accepted where connection tracking did
	// not see the connection's beginning, refused otherwise. And ICMP errors about
	// packets to their sender: accepted where connection tracking knows the
	// connection, dropped otherwise.
	MidStream uint64 `json:"midStream"`
	// Unreadable counts packets that were dropped because they could not be
	// read, by reason.
	Unreadable map[string]uint64 `json:"unreadable,omitempty"`
	// Sides are verdicts of local pods, one or two for each packet. All kinds are
	// there, always in the same order.
	Sides []SideCount `json:"sides"`
	// VerdictErrors are verdicts that the kernel had no packet for any more.
	VerdictErrors uint64 `json:"verdictErrors"`
	// QueueDropped are packets that found a queue full, SocketDropped those that
	// found a worker's socket buffer full. The failure policy decided on them.
	QueueDropped  uint64 `json:"queueDropped"`
	SocketDropped uint64 `json:"socketDropped"`
	// Waiting is how many packets wait in the queues now.
	Waiting uint64 `json:"waiting"`
	// LookupTimes and BatchTimes are of one batch in 64: its first lookup, and
	// the time from having read its packets until their verdicts are carried out.
	LookupTimes Histogram `json:"-"`
	BatchTimes  Histogram `json:"-"`
}

// SideCount is how often one kind of verdict was given.
type SideCount struct {
	Direction string `json:"direction"`
	Family    string `json:"family"`
	Protocol  string `json:"protocol"`
	Verdict   string `json:"verdict"`
	Count     uint64 `json:"count"`
}

var familyNames = [2]string{"IPv4", "IPv6"}

// add sums up a worker's counters.
func (s *Stats) add(c *counters, sides *[2][2][protocols][2]uint64) {
	s.Packets += c.packets.Load()
	s.Batches += c.batches.Load()
	s.Accepted += c.accepted.Load()
	s.Refused += c.refused.Load()
	s.MidStream += c.midStream.Load()
	s.VerdictErrors += c.verdictErrors.Load()
	s.SocketDropped += c.overruns.Load()
	s.LookupTimes.add(&c.lookups)
	s.BatchTimes.add(&c.batchTimes)
	for i := range c.unreadable {
		if n := c.unreadable[i].Load(); n > 0 {
			if s.Unreadable == nil {
				s.Unreadable = map[string]uint64{}
			}
			s.Unreadable[packet.Fault(i).String()] += n
		}
	}
	for d := range c.sides {
		for f := range c.sides[d] {
			for p := range c.sides[d][f] {
				for v := range c.sides[d][f][p] {
					sides[d][f][p][v] += c.sides[d][f][p][v].Load()
				}
			}
		}
	}
}

// listSides gives all counts in a fixed order.
func listSides(sides *[2][2][protocols][2]uint64) []SideCount {
	var out []SideCount
	for d := range sides {
		for f := range sides[d] {
			for p := range sides[d][f] {
				for v, n := range sides[d][f][p] {
					out = append(out, SideCount{
						Direction: rule.Direction(d).String(),
						Family:    familyNames[f],
						Protocol:  protocolNames[p],
						Verdict:   rule.Verdict(v).String(),
						Count:     n,
					})
				}
			}
		}
	}
	return out
}
