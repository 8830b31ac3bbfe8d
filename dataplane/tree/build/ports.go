package build

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// DefaultFlatLimit is the default flat limit: the maximum size of a port table with flat leaves.
// The size is the sum over the matches in all leaves. Each match counts as 1 plus the number of
// its classes, blocks and excepts.
//
// A flat leaf contains all matches that apply to an interval of ports, so a lookup reads only one
// leaf. However, n rules with overlapping port ranges result in n intervals with up to n matches
// each. So with flat leaves, a short policy could fill the memory of a node. If the size exceeds
// the flat limit, the builder stores matches in leaves that several intervals share. A lookup then
// reads several leaves. The port tables of nearly all programs stay below the limit.
const DefaultFlatLimit = 1 << 16

// portRange is a range of ports of a match. It includes the port `first` and excludes the port
// `end`.
type portRange struct {
	ref        matchRef
	first, end uint32
}

// portTable encodes the port table with the given index, and returns the offset of the table. A
// new interval starts at the first port of each range, and at the first port after each range.
// Adjacent intervals with the same leaf become one interval.
func (e *encoder) portTable(table int) uint32 {
	ranges := e.portRanges(table)
	firsts := []uint32{0}
	for _, r := range ranges {
		firsts = append(firsts, r.first)
		if r.end <= 65535 {
			firsts = append(firsts, r.end)
		}
	}
	slices.Sort(firsts)
	firsts = slices.Compact(firsts)
	var offsets []uint32
	if e.isFlat(ranges, firsts) {
		offsets = e.flatLeaves(ranges, firsts)
	} else {
		offsets = e.sharedLeaves(ranges, firsts)
	}
	var starts, leaves []uint32
	for i, leaf := range offsets {
		if n := len(leaves); n == 0 || leaves[n-1] != leaf {
			starts, leaves = append(starts, firsts[i]), append(leaves, leaf)
		}
	}
	return e.place(slices.Concat([]uint32{uint32(len(starts))}, starts, leaves))
}

// portRanges returns the port ranges that the program's matches have for a port table, ordered by
// match. The ranges of one match neither overlap nor adjoin each other.
func (e *encoder) portRanges(table int) []portRange {
	var out []portRange
	for i := range e.program.Rules {
		for j := range e.program.Rules[i].Matches {
			ref, from := matchRef{i, j}, len(out)
			ports := e.program.Rules[i].Matches[j].Ports
			if len(ports) == 0 {
				out = append(out, portRange{ref, 0, 65536})
			}
			for _, p := range ports {
				if table != format.PortsOther && format.PortTable(flow.Protocol(p.Protocol)) == table {
					out = append(out, portRange{ref, uint32(p.First), uint32(p.Last) + 1})
				}
			}
			out = append(out[:from], merged(out[from:])...)
		}
	}
	return out
}

// merged returns the ranges of one match, with overlapping and adjoining ranges merged.
func merged(ranges []portRange) []portRange {
	slices.SortFunc(ranges, func(a, b portRange) int { return int(a.first) - int(b.first) })
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && r.first <= out[n-1].end {
			out[n-1].end = max(out[n-1].end, r.end)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// edge is one of the two edges of a range. If `open` is set, `port` is the first port of the
// range. Otherwise, `port` is the first port after the range.
type edge struct {
	port uint32
	ref  matchRef
	open bool
}

// edgesOf returns both edges of all ranges, sorted by port.
func edgesOf(ranges []portRange) []edge {
	edges := make([]edge, 0, 2*len(ranges))
	for _, r := range ranges {
		edges = append(edges, edge{r.first, r.ref, true}, edge{r.end, r.ref, false})
	}
	slices.SortStableFunc(edges, func(a, b edge) int { return int(a.port) - int(b.port) })
	return edges
}

// isFlat reports whether a port table with flat leaves stays within the flat limit (see
// DefaultFlatLimit). The `firsts` parameter contains the first port of each interval. Intervals
// with the same set of matches share a leaf, so isFlat counts each set once. It identifies a set
// by the sum of the hashes of its matches. To limit its own running time, isFlat stops and returns
// false after 100*flatLimit steps.
func (e *encoder) isFlat(ranges []portRange, firsts []uint32) bool {
	var set uint64
	size, open, steps, edges := 0, 0, 0, edgesOf(ranges)
	known, total := map[uint64]struct{}{}, 0
	for _, port := range firsts {
		for ; len(edges) > 0 && edges[0].port == port; edges = edges[1:] {
			ref := edges[0].ref
			if edges[0].open {
				set, size, open = set+hash(ref), size+e.peers(ref), open+1
			} else {
				set, size, open = set-hash(ref), size-e.peers(ref), open-1
			}
		}
		steps += open
		if _, ok := known[set]; !ok {
			known[set] = struct{}{}
			total += size
		}
		if total > e.flatLimit || steps > 100*e.flatLimit {
			return false
		}
	}
	return true
}

// peers returns the number that a match adds to the size of a port table. See DefaultFlatLimit.
func (e *encoder) peers(ref matchRef) int {
	m := &e.program.Rules[ref.rule].Matches[ref.match]
	n := 1 + len(m.Classes) + len(m.Blocks)
	for i := range m.Blocks {
		n += len(m.Blocks[i].Excepts)
	}
	return n
}

// hash returns a hash of a match, computed with splitmix64. With high probability, different
// sets of matches have different sums of hashes.
func hash(ref matchRef) uint64 {
	x := uint64(ref.rule)<<32 + uint64(ref.match) + 1
	x *= 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// flatLeaves encodes one leaf for each interval and returns the offsets of the leaves. Each
// leaf contains all matches whose ports include the interval.
func (e *encoder) flatLeaves(ranges []portRange, firsts []uint32) []uint32 {
	var refs []matchRef
	edges, out := edgesOf(ranges), make([]uint32, 0, len(firsts))
	for _, port := range firsts {
		for ; len(edges) > 0 && edges[0].port == port; edges = edges[1:] {
			at, _ := slices.BinarySearchFunc(refs, edges[0].ref, compareRefs)
			if edges[0].open {
				refs = slices.Insert(refs, at, edges[0].ref)
			} else {
				refs = slices.Delete(refs, at, at+1)
			}
		}
		out = append(out, e.leaf(refs, 0))
	}
	return out
}

func compareRefs(a, b matchRef) int {
	if a.rule != b.rule {
		return a.rule - b.rule
	}
	return a.match - b.match
}

// sharedLeaves encodes leaves that several intervals share. It returns, for each interval, the
// offset of the first leaf to search. To encode the leaves, it builds a segment tree, which is a
// binary tree over the intervals. It adds each range to the smallest set of nodes that together
// cover the range: at most two nodes per level. LeafNext links the leaf of an interval to the
// leaves of the nodes above the interval. Therefore, n ranges need space proportional to n log n.
func (e *encoder) sharedLeaves(ranges []portRange, firsts []uint32) []uint32 {
	nodes := make([][]matchRef, 4*len(firsts))
	var add func(node, low, high, first, end int, ref matchRef)
	add = func(node, low, high, first, end int, ref matchRef) {
		if first <= low && high <= end {
			nodes[node] = append(nodes[node], ref)
			return
		}
		middle := (low + high) / 2
		if first < middle {
			add(2*node, low, middle, first, end, ref)
		}
		if end > middle {
			add(2*node+1, middle, high, first, end, ref)
		}
	}
	for _, r := range ranges {
		first, _ := slices.BinarySearch(firsts, r.first)
		end, _ := slices.BinarySearch(firsts, r.end)
		add(1, 0, len(firsts), first, end, r.ref)
	}
	out := make([]uint32, len(firsts))
	var write func(node, low, high int, leaf uint32)
	write = func(node, low, high int, leaf uint32) {
		if refs := nodes[node]; len(refs) > 0 {
			leaf = e.leaf(refs, leaf)
		}
		if high-low > 1 {
			middle := (low + high) / 2
			write(2*node, low, middle, leaf)
			write(2*node+1, middle, high, leaf)
			return
		}
		if leaf == 0 {
			leaf = e.leaf(nil, 0)
		}
		out[low] = leaf
	}
	write(1, 0, len(firsts), 0)
	return out
}
