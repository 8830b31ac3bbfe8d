package ruleset

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// set is a set of the table. Its keys are in the given byte order.
type set struct {
	name    string
	keyType nftables.SetDatatype
	order   binaryutil.ByteOrder
}

// addressSet is a set of addresses of one family. A packet is looked up in it by the
// field at an offset of its IP header.
type addressSet struct {
	set
	family         byte
	offset, length uint32
	direction      rule.Direction
}

// The pods that policies isolate. For egress, a packet is looked up by its source,
// for ingress by its destination.
var (
	egress4  = addressSet{set{"egress4", nftables.TypeIPAddr, binaryutil.BigEndian}, unix.NFPROTO_IPV4, 12, 4, rule.Egress}
	egress6  = addressSet{set{"egress6", nftables.TypeIP6Addr, binaryutil.BigEndian}, unix.NFPROTO_IPV6, 8, 16, rule.Egress}
	ingress4 = addressSet{set{"ingress4", nftables.TypeIPAddr, binaryutil.BigEndian}, unix.NFPROTO_IPV4, 16, 4, rule.Ingress}
	ingress6 = addressSet{set{"ingress6", nftables.TypeIP6Addr, binaryutil.BigEndian}, unix.NFPROTO_IPV6, 24, 16, rule.Ingress}

	addressSets = []addressSet{egress4, egress6, ingress4, ingress6}
)

// Sets of interfaces, by interface index. See Links.
var (
	egressLinks = set{"egress-links", nftables.TypeIFIndex, binaryutil.NativeEndian}
	closedLinks = set{"closed-links", nftables.TypeIFIndex, binaryutil.NativeEndian}
)

// sets returns all sets of the table.
func sets() []set {
	var out []set
	for _, s := range addressSets {
		out = append(out, s.set)
	}
	return append(out, egressLinks, closedLinks)
}

// hasFamilyOf reports whether an address has the set's family.
func (s addressSet) hasFamilyOf(a netip.Addr) bool { return a.Is4() == (s.family == unix.NFPROTO_IPV4) }

func (s set) of(t *nftables.Table) *nftables.Set {
	return &nftables.Set{Table: t, Name: s.name, KeyType: s.keyType, KeyByteOrder: s.order}
}

// Isolated has the addresses of this node's pods that policies isolate, by
// direction. Only packets from or to them are queued. It may contain duplicates.
type Isolated struct {
	Egress, Ingress []netip.Addr
}

// Links has indexes of this node's interfaces.
type Links struct {
	// Egress has the interfaces that lead to at least one pod that is isolated for
	// egress. A packet that comes in by one of them must have a source whose route
	// leads back to it.
	Egress []uint32
	// Closed has the interfaces of Egress on which link-local addresses are
	// restricted, because none of them leads to a pod that may use its link-local
	// address freely.
	Closed []uint32
}

// content has the keys of each set, by the set's name, as the kernel encodes them.
type content map[string]map[string]struct{}

func contentOf(i Isolated, l Links) content {
	out := content{}
	for _, s := range addressSets {
		addresses := i.Egress
		if s.direction == rule.Ingress {
			addresses = i.Ingress
		}
		out[s.name] = map[string]struct{}{}
		for _, a := range addresses {
			if s.hasFamilyOf(a) {
				out[s.name][string(a.AsSlice())] = struct{}{}
			}
		}
	}
	for name, links := range map[string][]uint32{egressLinks.name: l.Egress, closedLinks.name: l.Closed} {
		out[name] = map[string]struct{}{}
		for _, number := range links {
			out[name][string(binary.NativeEndian.AppendUint32(nil, number))] = struct{}{}
		}
	}
	return out
}

// hasShapeOf reports whether a set in the kernel has the type and flags of ours.
func (s set) hasShapeOf(have *nftables.Set) bool {
	return have.KeyType.Bytes == s.keyType.Bytes && !have.Interval && !have.HasTimeout && !have.IsMap && !have.Concatenation
}

// readContent returns the content of our sets in the kernel, and the sets of the
// table that are not ours: they have another name or another shape.
func readContent(c *nftables.Conn, t *nftables.Table) (out content, foreign []*nftables.Set, err error) {
	out = content{}
	all, err := c.GetSets(t)
	if err != nil {
		return nil, nil, fmt.Errorf("listing sets: %w", err)
	}
	ours := sets()
	for _, have := range all {
		i := slices.IndexFunc(ours, func(s set) bool { return s.name == have.Name })
		if i < 0 || !ours[i].hasShapeOf(have) {
			foreign = append(foreign, have)
			continue
		}
		s := ours[i]
		elements, err := c.GetSetElements(s.of(t))
		if err != nil {
			return nil, nil, fmt.Errorf("reading set %s: %w", s.name, err)
		}
		out[s.name] = make(map[string]struct{}, len(elements))
		for _, e := range elements {
			out[s.name][string(e.Key)] = struct{}{}
		}
	}
	return out, foreign, nil
}

// elementsPerMessage keeps the list of elements in a message below 64 KiB, the
// maximum length of a netlink attribute.
const elementsPerMessage = 1000

// change adds to the transaction the elements to delete and to add, so that the
// sets change from one content to another.
func change(c *nftables.Conn, t *nftables.Table, from, to content) error {
	for _, s := range sets() {
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

// difference returns the keys of a that b does not have, in ascending order.
func difference(a, b map[string]struct{}) []nftables.SetElement {
	var out []nftables.SetElement
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if _, ok := b[key]; !ok {
			out = append(out, nftables.SetElement{Key: []byte(key)})
		}
	}
	return out
}
