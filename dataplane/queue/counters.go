package queue

import (
	"sync/atomic"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/packet"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// Protocol classes. The workers count verdicts separately for each class.
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

// counters are the counters of one worker. Only the worker writes them. The method Pool.Stats
// returns the totals as a report.Stats.
type counters struct {
	packets, batches atomic.Uint64
	accepted         atomic.Uint64
	denied           atomic.Uint64
	midStream        atomic.Uint64
	verdictErrors    atomic.Uint64
	unreadable       [packet.Faults]atomic.Uint64
	// sides is indexed by direction, family (0 is IPv4), protocol class and verdict.
	sides [2][2][protocols][2]atomic.Uint64
	// lookups and batchTimes contain the durations of sampled batches. See sampled.
	lookups, batchTimes histogram
}

// countSide counts the verdict of a side that this node evaluated.
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

var familyNames = [2]string{"IPv4", "IPv6"}

// addTo adds the counters of a worker to the totals.
func (c *counters) addTo(s *report.Stats, sides *sideCounts) {
	s.Packets += c.packets.Load()
	s.Batches += c.batches.Load()
	s.Accepted += c.accepted.Load()
	s.Denied += c.denied.Load()
	s.MidStream += c.midStream.Load()
	s.VerdictErrors += c.verdictErrors.Load()
	c.lookups.addTo(&s.LookupTimes)
	c.batchTimes.addTo(&s.BatchTimes)
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

// sideCounts contains the sums of counters.sides over all workers.
type sideCounts [2][2][protocols][2]uint64

// list returns all counts as a list. The list always has the same order.
func (c *sideCounts) list() []report.SideCount {
	var out []report.SideCount
	for d := range c {
		for f := range c[d] {
			for p := range c[d][f] {
				for v, n := range c[d][f][p] {
					out = append(out, report.SideCount{
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
