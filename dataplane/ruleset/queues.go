package ruleset

// Queues is a range of queue numbers. It contains the queues of the workers, followed by one
// queue for held packets. For example, with Base 2700 and Count 2, the workers serve queues
// 2700 and 2701, and held packets wait in queue 2702.
//
// A node has two adjacent ranges. While a dataplane is being replaced, the old dataplane uses
// one range and the new dataplane uses the other range.
type Queues struct {
	// Base is the first queue number. Count is the number of queues that workers serve.
	Base, Count uint16
}

// ranges is the number of queue ranges per node.
const ranges = 2

// Hold returns the number of the queue for held packets.
func (q Queues) Hold() uint16 { return q.Base + q.Count }

// Ranges returns both ranges of a node. The first of them is q.
func (q Queues) Ranges() [ranges]Queues {
	return [ranges]Queues{q, {Base: q.Hold() + 1, Count: q.Count}}
}

// Fit reports whether at least one queue exists for the workers, and whether both ranges of a node
// contain only valid queue numbers. The first range is q.
func (q Queues) Fit() bool { return q.Count > 0 && int(q.Base)+ranges*(int(q.Count)+1) <= 1<<16 }

// Contain reports whether a queue number belongs to the range.
func (q Queues) Contain(number uint64) bool {
	return number >= uint64(q.Base) && number <= uint64(q.Base)+uint64(q.Count)
}
