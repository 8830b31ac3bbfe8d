package diff

import (
	"net/netip"
	"slices"

	"go4.org/netipx"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/query/internal/family"
)

// outside contains the effects on the flows between a subject and the addresses of a family that do
// not belong to a pod.
type outside struct {
	ranges []netipx.IPRange
	// lists contains, for each range, the number of the list of effects. It is notApplicable if
	// all addresses of the range belong to pods.
	lists []int
}

var everyAddress = [family.Count]netipx.IPRange{
	netipx.RangeOfPrefix(netip.MustParsePrefix("0.0.0.0/0")),
	netipx.RangeOfPrefix(netip.MustParsePrefix("::/0")),
}

// outside returns the effects on the flows of a group in a direction.
func (c *comparison) outside(g *group, d rule.Direction, f family.Family) *outside {
	key := outsideKey{g.subjects[d], f}
	if out := c.outsideOf[key]; out != nil {
		return out
	}
	out := &outside{ranges: c.segments(g.subjects[d], f)}
	for i, r := range out.ranges {
		a, ok := c.free(r)
		if !ok {
			out.lists = append(out.lists, notApplicable)
			continue
		}
		// The segment is the number of the range among those of this subject. No other function
		// has a negative segment.
		other := 1 + c.peers.number(peer{segment: -1 - i*family.Count - int(f)})
		function := c.function(functionKey{g.subjects[d], other}, g.address(f, false), a)
		if d == rule.Egress {
			out.lists = append(out.lists, c.effects(function, allowed))
		} else {
			out.lists = append(out.lists, c.effects(allowed, function))
		}
	}
	c.outsideOf[key] = out
	return out
}

type outsideKey struct {
	subject int
	family  family.Family
}

// segments divides the addresses of a family at the boundaries of all blocks in the programs of a
// subject.
func (c *comparison) segments(subject int, f family.Family) (out []netipx.IPRange) {
	var boundaries []netip.Addr
	c.eachMatch(subject, func(m *rule.Match) { boundaries = appendBoundaries(boundaries, m.Blocks) })
	boundaries = slices.DeleteFunc(boundaries, func(a netip.Addr) bool { return family.Of(a) != f || a == everyAddress[f].From() })
	slices.SortFunc(boundaries, netip.Addr.Compare)
	first := everyAddress[f].From()
	for _, next := range slices.Compact(boundaries) {
		out = append(out, netipx.IPRangeFrom(first, next.Prev()))
		first = next
	}
	return append(out, netipx.IPRangeFrom(first, everyAddress[f].To()))
}

// appendBoundaries appends, for each prefix of some blocks, the first address of the prefix, and the
// first address behind the prefix.
func appendBoundaries(out []netip.Addr, blocks []rule.Block) []netip.Addr {
	add := func(p netip.Prefix) {
		r := netipx.RangeOfPrefix(p)
		out = append(out, r.From())
		if next := r.To().Next(); next.IsValid() {
			out = append(out, next)
		}
	}
	for _, b := range blocks {
		add(b.Prefix)
		for _, e := range b.Excepts {
			add(e)
		}
	}
	return out
}

// free returns an address of a range that belongs to no pod, neither before nor after the change.
func (c *comparison) free(r netipx.IPRange) (netip.Addr, bool) {
	for a := r.From(); a.IsValid() && a.Compare(r.To()) <= 0; a = a.Next() {
		if c.before.owners[a].Kind == rule.NoOwner && c.after.owners[a].Kind == rule.NoOwner {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// where returns the ranges whose list of effects has a property, as prefixes and as the exceptions
// from these prefixes. It chooses the shorter description. The description can contain ranges whose
// addresses all belong to pods.
func (o *outside) where(f family.Family, property func(list int) bool) (prefixes, excepts []netip.Prefix) {
	var in netipx.IPSetBuilder
	inside := true
	for i, r := range o.ranges {
		if o.lists[i] != notApplicable {
			inside = property(o.lists[i])
		}
		if inside {
			in.AddRange(r)
		}
	}
	set := setOf(&in)
	prefixes = set.Prefixes()
	if len(prefixes) == 0 {
		return nil, nil
	}
	for _, cover := range []netip.Prefix{everyAddress[f].Prefixes()[0], coverOf(prefixes)} {
		var rest netipx.IPSetBuilder
		rest.AddPrefix(cover)
		rest.RemoveSet(set)
		if excepts := setOf(&rest).Prefixes(); len(excepts)+1 < len(prefixes) {
			return []netip.Prefix{cover}, excepts
		}
	}
	return prefixes, nil
}

// coverOf returns the smallest prefix that contains all prefixes of a sorted list.
func coverOf(prefixes []netip.Prefix) netip.Prefix {
	cover, last := prefixes[0], netipx.RangeOfPrefix(prefixes[len(prefixes)-1]).To()
	for !cover.Contains(last) {
		cover = netip.PrefixFrom(cover.Addr(), cover.Bits()-1).Masked()
	}
	return cover
}

// setOf returns the set of a builder. The builder was given only valid ranges, so there is no error.
func setOf(b *netipx.IPSetBuilder) *netipx.IPSet {
	set, err := b.IPSet()
	if err != nil {
		return &netipx.IPSet{}
	}
	return set
}
