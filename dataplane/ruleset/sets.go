package ruleset

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/ruleset/internal/nft"
)

// set describes an nftables set. The `order` field contains the byte order of the set's keys. If
// `counted` is set, each key has a counter of the packets that matched this key. If `timeout` is not
// 0, rules add keys to the set. The kernel removes a key if no rule adds it again within this time.
type set struct {
	name    string
	keyType nftables.SetDatatype
	order   binaryutil.ByteOrder
	counted bool
	timeout time.Duration
}

// The offsets of the source and destination addresses in IPv4 and IPv6 headers, in bytes.
const (
	sourceOffset4, sourceOffset6           = 12, 8
	destinationOffset4, destinationOffset6 = 16, 24
)

// addressSet is a set of addresses of one family. A rule reads the address at the position
// `offset` in the IP header of a packet, and looks the address up in the set.
type addressSet struct {
	set
	family         byte
	offset, length uint32
}

// The addresses of isolated pods. Rules look up the source address of a packet in the
// egress sets, and the destination address in the ingress sets.
var (
	egress4  = addressSet{set{name: "egress4", keyType: nftables.TypeIPAddr, order: binaryutil.BigEndian}, unix.NFPROTO_IPV4, sourceOffset4, 4}
	egress6  = addressSet{set{name: "egress6", keyType: nftables.TypeIP6Addr, order: binaryutil.BigEndian}, unix.NFPROTO_IPV6, sourceOffset6, 16}
	ingress4 = addressSet{set{name: "ingress4", keyType: nftables.TypeIPAddr, order: binaryutil.BigEndian}, unix.NFPROTO_IPV4, destinationOffset4, 4}
	ingress6 = addressSet{set{name: "ingress6", keyType: nftables.TypeIP6Addr, order: binaryutil.BigEndian}, unix.NFPROTO_IPV6, destinationOffset6, 16}

	egressSets   = []addressSet{egress4, egress6}
	ingressSets  = []addressSet{ingress4, ingress6}
	isolatedSets = slices.Concat(egressSets, ingressSets)
)

// The addresses in Links.Linked. Rules look up the source address of a packet.
var (
	linked4 = addressSet{set{name: "linked4", keyType: nftables.TypeIPAddr, order: binaryutil.BigEndian}, unix.NFPROTO_IPV4, sourceOffset4, 4}
	linked6 = addressSet{set{name: "linked6", keyType: nftables.TypeIP6Addr, order: binaryutil.BigEndian}, unix.NFPROTO_IPV6, sourceOffset6, 16}

	linkedSets = []addressSet{linked4, linked6}
)

// The interface indexes in Links.Egress and Links.Closed.
var (
	egressLinks = set{name: "egress-links", keyType: nftables.TypeIFIndex, order: binaryutil.NativeEndian}
	closedLinks = set{name: "closed-links", keyType: nftables.TypeIFIndex, order: binaryutil.NativeEndian}
)

// sets returns the sets of the table inet sluice that a Table fills.
func sets() []set {
	var out []set
	for _, s := range slices.Concat(isolatedSets, linkedSets, knownSets) {
		out = append(out, s.set)
	}
	return append(out, egressLinks, closedLinks, uplinks, podLinks)
}

// allSets returns all sets of the table, including the sets that the rules fill.
func (c Config) allSets() []set {
	if c.FloodQueue == 0 {
		return sets()
	}
	return append(sets(), laneSets()...)
}

// hasFamilyOf reports whether the addresses in the set have the same family as the address a.
func (s addressSet) hasFamilyOf(a netip.Addr) bool { return a.Is4() == (s.family == unix.NFPROTO_IPV4) }

func (s set) of(t *nftables.Table) *nftables.Set {
	out := &nftables.Set{Table: t, Name: s.name, KeyType: s.keyType, KeyByteOrder: s.order, Counter: s.counted}
	if s.timeout > 0 {
		out.Dynamic, out.HasTimeout, out.Timeout, out.Size = true, true, s.timeout, maxPodAddresses
	}
	return out
}

// Addresses contains the addresses of this node's pods. The lists may contain duplicates.
type Addresses struct {
	// Egress contains the addresses of egress-isolated pods, and Ingress contains the addresses
	// of ingress-isolated pods. Workers evaluate only packets from addresses in Egress and
	// packets to addresses in Ingress.
	Egress, Ingress []netip.Addr
	// Known contains the addresses of all pods of this node, including pods that are not isolated.
	// If Config.Hold is set, the rules hold first packets from and to all other addresses, except
	// on uplinks.
	Known []netip.Addr
}

// Links describes the interfaces of this node. It identifies interfaces by their indexes.
type Links struct {
	// Linked contains the addresses of the pods to which a route of this node leads directly,
	// including pods that are not isolated. A packet that opens a connection from such an
	// address must arrive on the interface to which the address is routed. The list may contain
	// duplicates.
	Linked []netip.Addr
	// Egress contains the interfaces that lead to at least one egress-isolated pod. A
	// packet that arrives on such an interface must have a source address that is routed
	// to the same interface.
	Egress []uint32
	// Closed is a subset of Egress. On an interface in Closed, pods may use their link-local
	// addresses only for neighbour discovery, multicast listener discovery and DHCPv6. An
	// interface in Egress is also in Closed unless it leads to a pod that may use its link-local
	// address freely.
	Closed []uint32
	// Uplinks contains the interfaces that do not lead to pods.
	Uplinks []uint32
	// Pods contains the interfaces that lead to pods. The rules count the packets that arrive on
	// these interfaces.
	Pods []uint32
}

// content maps the name of each set to the keys in the set. The keys are in the kernel's
// encoding.
type content map[string]map[string]struct{}

func contentOf(a Addresses, l Links) content {
	out := content{}
	for _, part := range []struct {
		sets      []addressSet
		addresses []netip.Addr
	}{
		{egressSets, a.Egress}, {ingressSets, a.Ingress}, {linkedSets, l.Linked}, {knownSets, a.Known},
	} {
		for _, s := range part.sets {
			out[s.name] = map[string]struct{}{}
			for _, address := range part.addresses {
				if s.hasFamilyOf(address) {
					out[s.name][string(address.AsSlice())] = struct{}{}
				}
			}
		}
	}
	for name, links := range map[string][]uint32{
		egressLinks.name: l.Egress, closedLinks.name: l.Closed, podLinks.name: l.Pods, uplinks.name: append(l.Uplinks[:len(l.Uplinks):len(l.Uplinks)], 0),
	} {
		out[name] = keysOf(links)
	}
	return out
}

// keysOf returns the keys of a set of interfaces in the kernel's encoding.
func keysOf(links []uint32) map[string]struct{} {
	out := make(map[string]struct{}, len(links))
	for _, number := range links {
		out[string(binary.NativeEndian.AppendUint32(nil, number))] = struct{}{}
	}
	return out
}

// hasShapeOf reports whether a set that was read from the kernel has the type and flags that s
// requires.
func (s set) hasShapeOf(have *nftables.Set) bool {
	return have.KeyType.Bytes == s.keyType.Bytes && !have.Interval && have.Timeout == s.timeout && !have.IsMap && !have.Concatenation
}

// foreignSets returns the sets in the table that do not belong to Sluice: sets with an
// unknown name, and sets with a known name but another type or other flags.
func (t *Table) foreignSets() ([]*nftables.Set, error) {
	all, err := t.conn.GetSets(t.table)
	if err != nil {
		return nil, fmt.Errorf("listing sets: %w", err)
	}
	ours := t.config.allSets()
	return slices.DeleteFunc(all, func(have *nftables.Set) bool {
		i := slices.IndexFunc(ours, func(s set) bool { return s.name == have.Name })
		return i >= 0 && ours[i].hasShapeOf(have)
	}), nil
}

// elementsPerMessage is the maximum number of elements in a message. With this limit, the list
// of elements is shorter than 64 KiB, the maximum length of a netlink attribute.
const elementsPerMessage = 1000

// change adds commands to the transaction. The commands change the content of the sets. The
// parameter `from` is the current content, and the parameter `to` is the new content.
func change(c *nftables.Conn, t *nftables.Table, from, to content) error {
	for _, s := range sets() {
		if err := s.change(c, t, from[s.name], to[s.name]); err != nil {
			return err
		}
	}
	return nil
}

func (s set) change(c *nftables.Conn, t *nftables.Table, from, to map[string]struct{}) error {
	for gone := range slices.Chunk(difference(from, to), elementsPerMessage) {
		if err := c.SetDeleteElements(s.of(t), gone); err != nil {
			return fmt.Errorf("deleting from set %s: %w", s.name, err)
		}
	}
	for added := range slices.Chunk(difference(to, from), elementsPerMessage) {
		if err := c.SetAddElements(s.of(t), added); err != nil {
			return fmt.Errorf("adding to set %s: %w", s.name, err)
		}
	}
	return nil
}

// difference returns the keys that are in a but not in b, in ascending order.
func difference(a, b map[string]struct{}) []nftables.SetElement {
	var out []nftables.SetElement
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if _, ok := b[key]; !ok {
			out = append(out, nftables.SetElement{Key: []byte(key)})
		}
	}
	return out
}

// inputInterfaceIn returns the expressions for `iif @SET`.
func inputInterfaceIn(s set) nft.Expressions {
	return nft.Expressions{&expr.Meta{Key: expr.MetaKeyIIF, Register: nft.Register}, &expr.Lookup{SourceRegister: nft.Register, SetName: s.name}}
}

// inSet returns the expressions for `ip saddr @SET`. If the set is for destination addresses
// or for IPv6, the text contains ip daddr, ip6 saddr or ip6 daddr instead of ip saddr.
func inSet(s addressSet) nft.Expressions {
	return append(s.address(), &expr.Lookup{SourceRegister: nft.Register, SetName: s.name})
}

// address returns the expressions that load the address for the set into the register. A packet of
// the other address family does not match.
func (s addressSet) address() nft.Expressions {
	return nft.Join(nft.Family(s.family), nft.Expressions{
		&expr.Payload{DestRegister: nft.Register, Base: expr.PayloadBaseNetworkHeader, Offset: s.offset, Len: s.length},
	})
}
