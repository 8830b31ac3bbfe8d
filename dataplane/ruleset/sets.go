package ruleset

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// addressSet is a set of addresses and the part of a packet it is looked up by.
type addressSet struct {
	name           string
	family         byte
	offset, length uint32
	direction      rule.Direction
	keyType        nftables.SetDatatype
}

// addressSets: pods that policies isolate for egress are looked up by source,
// for ingress by destination.
var addressSets = []addressSet{
	{"egress4", unix.NFPROTO_IPV4, 12, 4, rule.Egress, nftables.TypeIPAddr},
	{"egress6", unix.NFPROTO_IPV6, 8, 16, rule.Egress, nftables.TypeIP6Addr},
	{"ingress4", unix.NFPROTO_IPV4, 16, 4, rule.Ingress, nftables.TypeIPAddr},
	{"ingress6", unix.NFPROTO_IPV6, 24, 16, rule.Ingress, nftables.TypeIP6Addr},
}

func (s addressSet) holds(a netip.Addr) bool { return a.Is4() == (s.family == unix.NFPROTO_IPV4) }

func (s addressSet) of(t *nftables.Table) *nftables.Set {
	return &nftables.Set{Table: t, Name: s.name, KeyType: s.keyType, KeyByteOrder: binaryutil.BigEndian}
}

// Isolated is the addresses of this node's pods that policies isolate, by
// direction. Everything else is never queued. Addresses may come twice.
type Isolated struct {
	Egress, Ingress []netip.Addr
}

// content is what each set holds.
type content map[string]map[netip.Addr]struct{}

func (i Isolated) content() content {
	out := content{}
	for _, s := range addressSets {
		addresses := i.Egress
		if s.direction == rule.Ingress {
			addresses = i.Ingress
		}
		out[s.name] = map[netip.Addr]struct{}{}
		for _, a := range addresses {
			if s.holds(a) {
				out[s.name][a] = struct{}{}
			}
		}
	}
	return out
}

// is reports whether a set of the kernel is of our making.
func (s addressSet) is(have *nftables.Set) bool {
	return have.KeyType.Bytes == s.length && !have.Interval && !have.HasTimeout && !have.IsMap && !have.Concatenation
}

// readContent asks the kernel what our sets hold, and which sets of the table
// are not ours: of another name or of another shape.
func readContent(c *nftables.Conn, t *nftables.Table) (out content, foreign []*nftables.Set, err error) {
	out = content{}
	sets, err := c.GetSets(t)
	if err != nil {
		return nil, nil, fmt.Errorf("listing sets: %w", err)
	}
	for _, have := range sets {
		i := slices.IndexFunc(addressSets, func(s addressSet) bool { return s.name == have.Name })
		if i < 0 || !addressSets[i].is(have) {
			foreign = append(foreign, have)
			continue
		}
		s := addressSets[i]
		elements, err := c.GetSetElements(s.of(t))
		if err != nil {
			return nil, nil, fmt.Errorf("reading set %s: %w", s.name, err)
		}
		out[s.name] = make(map[netip.Addr]struct{}, len(elements))
		for _, e := range elements {
			if a, ok := netip.AddrFromSlice(e.Key); ok {
				out[s.name][a] = struct{}{}
			}
		}
	}
	return out, foreign, nil
}

// elementsPerMessage keeps a message's list below the 64 KiB that the length of
// a netlink attribute can say.
const elementsPerMessage = 1000

// change adds to the transaction what turns one content into another.
func change(c *nftables.Conn, t *nftables.Table, from, to content) error {
	for _, s := range addressSets {
		set := s.of(t)
		for gone := range slices.Chunk(difference(from[s.name], to[s.name]), elementsPerMessage) {
			if err := c.SetDeleteElements(set, gone); err != nil {
				return fmt.Errorf("deleting from set %s: %w", s.name, err)
			}
		}
		for added := range slices.Chunk(difference(to[s.name], from[s.name]), elementsPerMessage) {
			if err := c.SetAddElements(set, added); err != nil {
				return fmt.Errorf("adding to set %s: %w", s.name, err)
			}
		}
	}
	return nil
}

// difference gives what a has and b has not, in order.
func difference(a, b map[netip.Addr]struct{}) []nftables.SetElement {
	var out []nftables.SetElement
	for _, addr := range slices.SortedFunc(maps.Keys(a), netip.Addr.Compare) {
		if _, ok := b[addr]; !ok {
			out = append(out, nftables.SetElement{Key: addr.AsSlice()})
		}
	}
	return out
}
