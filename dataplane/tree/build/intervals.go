package build

import (
	"container/heap"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// span is an inclusive range of addresses of one family. It also contains the entry of a rule that
// matches these addresses. See format.ActionBits for the definition of an entry.
type span struct {
	first, last format.Address
	entry       uint32
}

// step is the start of an interval in which all addresses have the same entry. The
// interval ends before the first address of the next step.
type step struct {
	first format.Address
	entry uint32
}

// appendSpans appends the parts of block b that are not covered by the excepts of b.
func appendSpans(spans []span, b rule.Block, entry uint32) []span {
	is4 := b.Prefix.Addr().Is4()
	excepts := slices.SortedFunc(slices.Values(b.Excepts), func(p, q netip.Prefix) int { return p.Addr().Compare(q.Addr()) })
	first, end := format.AddressOf(b.Prefix.Addr()), last(b.Prefix)
	for _, except := range excepts {
		from, to := format.AddressOf(except.Addr()), last(except)
		if to.Compare(first) < 0 {
			continue
		}
		if from.Compare(end) > 0 {
			break
		}
		if from.Compare(first) > 0 {
			spans = append(spans, span{first: first, last: previous(from), entry: entry})
		}
		after, ok := next(to, is4)
		if !ok || after.Compare(end) > 0 {
			return spans
		}
		first = after
	}
	return append(spans, span{first: first, last: end, entry: entry})
}

// next returns the address after address a. It returns false if a is the last address of its
// family.
func next(a format.Address, is4 bool) (format.Address, bool) {
	if is4 {
		return format.Address{Lo: a.Lo + 1}, a.Lo < 1<<32-1
	}
	if a.Lo++; a.Lo == 0 {
		a.Hi++
	}
	return a, a != format.Address{}
}

// last returns the last address of a prefix, which must be masked.
func last(p netip.Prefix) format.Address {
	a := format.AddressOf(p.Addr())
	hosts := p.Addr().BitLen() - p.Bits()
	if hosts > 64 {
		a.Hi |= 1<<(hosts-64) - 1
		hosts = 64
	}
	a.Lo |= 1<<hosts - 1
	return a
}

// previous returns the address before address a. The caller must not pass the first address of a
// family.
func previous(a format.Address) format.Address {
	if a.Lo == 0 {
		a.Hi--
	}
	a.Lo--
	return a
}

// flatten converts spans of one family to steps in ascending order. The spans can overlap. If
// several spans contain an address, the lowest of their entries applies to the address. If no
// span contains an address, entry 0 applies to the address.
func flatten(spans []span, is4 bool) []step {
	slices.SortFunc(spans, func(a, b span) int { return a.first.Compare(b.first) })
	var (
		steps    []step
		open     spanHeap
		entryNow uint32
	)
	change := func(at format.Address, entry uint32) {
		if entry == entryNow {
			return
		}
		entryNow = entry
		if n := len(steps); n > 0 && steps[n-1].first == at {
			steps = steps[:n-1]
			if n > 1 && steps[n-2].entry == entry || n == 1 && entry == 0 {
				return
			}
		}
		steps = append(steps, step{first: at, entry: entry})
	}
	// closeSpans removes spans from the top of the heap `open` while the top span ends before the
	// address `until`. If the parameter `all` is set, it removes all spans. If the entry changes
	// at the end of a removed span, closeSpans adds a step.
	closeSpans := func(until format.Address, all bool) {
		for len(open) > 0 && (all || open[0].last.Compare(until) < 0) {
			top := heap.Pop(&open).(span)
			for len(open) > 0 && open[0].last.Compare(top.last) <= 0 {
				heap.Pop(&open)
			}
			after, ok := next(top.last, is4)
			if !ok {
				return
			}
			var entry uint32
			if len(open) > 0 {
				entry = open[0].entry
			}
			change(after, entry)
		}
	}
	for _, s := range spans {
		closeSpans(s.first, false)
		heap.Push(&open, s)
		change(s.first, open[0].entry)
	}
	closeSpans(format.Address{}, true)
	return steps
}

// spanHeap implements heap.Interface. The span at index 0 has the lowest entry.
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
