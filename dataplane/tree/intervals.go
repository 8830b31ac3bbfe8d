package tree

import (
	"container/heap"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// span is a range of addresses of one family, both ends in it, and the entry
// of the rule that names it.
type span struct {
	first, last address
	entry       uint32
}

// step is where another entry begins to hold. It holds up to the next step.
type step struct {
	first address
	entry uint32
}

// appendSpans appends what a block leaves when its excepts are cut out.
func appendSpans(spans []span, b rule.Block, entry uint32) []span {
	is4 := b.Prefix.Addr().Is4()
	excepts := slices.SortedFunc(slices.Values(b.Excepts), func(p, q netip.Prefix) int { return p.Addr().Compare(q.Addr()) })
	first, end := addressOf(b.Prefix.Addr()), last(b.Prefix)
	for _, except := range excepts {
		from, to := addressOf(except.Addr()), last(except)
		if to.compare(first) < 0 {
			continue
		}
		if from.compare(end) > 0 {
			break
		}
		if from.compare(first) > 0 {
			spans = append(spans, span{first: first, last: before(from), entry: entry})
		}
		next, ok := to.next(is4)
		if !ok || next.compare(end) > 0 {
			return spans
		}
		first = next
	}
	return append(spans, span{first: first, last: end, entry: entry})
}

// before gives the address before one that is not the first.
func before(a address) address {
	if a.lo == 0 {
		a.hi--
	}
	a.lo--
	return a
}

// flatten turns spans of one family that may overlap into ascending steps: at
// each address the lowest entry of the spans that hold it, 0 where none does.
func flatten(spans []span, is4 bool) []step {
	slices.SortFunc(spans, func(a, b span) int { return a.first.compare(b.first) })
	var (
		steps []step
		open  spanHeap
		held  uint32
	)
	change := func(at address, entry uint32) {
		if entry == held {
			return
		}
		held = entry
		if n := len(steps); n > 0 && steps[n-1].first == at {
			steps = steps[:n-1]
			if n > 1 && steps[n-2].entry == entry || n == 1 && entry == 0 {
				return
			}
		}
		steps = append(steps, step{first: at, entry: entry})
	}
	// settle closes the spans that end before the given address.
	settle := func(until address, all bool) {
		for len(open) > 0 && (all || open[0].last.compare(until) < 0) {
			top := heap.Pop(&open).(span)
			for len(open) > 0 && open[0].last.compare(top.last) <= 0 {
				heap.Pop(&open)
			}
			next, ok := top.last.next(is4)
			if !ok {
				return
			}
			var entry uint32
			if len(open) > 0 {
				entry = open[0].entry
			}
			change(next, entry)
		}
	}
	for _, s := range spans {
		settle(s.first, false)
		heap.Push(&open, s)
		change(s.first, open[0].entry)
	}
	settle(address{}, true)
	return steps
}

// spanHeap has the lowest entry on top.
type spanHeap []span

func (h spanHeap) Len() int           { return len(h) }
func (h spanHeap) Less(i, j int) bool { return h[i].entry < h[j].entry }
func (h spanHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *spanHeap) Push(x any)        { *h = append(*h, x.(span)) }
func (h *spanHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	*h = old[:len(old)-1]
	return s
}
