package hits

import (
	"sync/atomic"

	"golang.org/x/sys/cpu"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// Lane contains the counters of one worker. Only this worker calls Count.
type Lane struct {
	// The padding keeps the fields of two lanes in different cache lines.
	_     cpu.CacheLinePad
	clock *atomic.Int64
	cells []cell
	_     cpu.CacheLinePad
}

// cell is the counter of a slot.
type cell struct {
	hits atomic.Uint64
	// last is the time of the latest hit, in seconds since 1970.
	last atomic.Int64
}

// Count counts the rules that decided a packet. The table must belong to the evaluator that returned
// the decision. Count allocates no memory and takes no locks. If the lane or the table is nil, it
// counts nothing.
func (l *Lane) Count(t *Table, d rule.Decision) {
	if l == nil || t == nil {
		return
	}
	l.count(t, rule.Egress, d.Egress)
	if d.Egress.Verdict == rule.Allow {
		l.count(t, rule.Ingress, d.Ingress)
	}
}

func (l *Lane) count(t *Table, d rule.Direction, s rule.Side) {
	if s.Passed != 0 {
		l.hit(t, t.find(s.Passed))
	}
	if s.Ref.Program == 0 {
		return
	}
	switch first := t.find(s.Ref.Program | uint32(d)); {
	case first == 0: // The table does not contain the program.
	case s.Reason == rule.NoRuleMatched:
		l.hit(t, first)
	default:
		// A rule decided, or a rule of the Baseline tier passed the flow.
		l.hit(t, first+1+s.Ref.Rule)
	}
}

// hit counts the slot at an index of Table.slots.
func (l *Lane) hit(t *Table, index uint32) {
	if uint64(index) >= uint64(len(t.slots)) {
		return
	}
	c := &l.cells[t.slots[index]]
	// Store the time first, so that a reader that sees the hit also sees its time.
	if now := l.clock.Load(); c.last.Load() != now {
		c.last.Store(now)
	}
	c.hits.Add(1)
}
