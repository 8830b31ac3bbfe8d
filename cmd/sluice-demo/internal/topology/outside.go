package topology

import (
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/policy"
)

// maxOutside is the maximum number of addresses in the ipBlocks of the policies. The limit exists
// because each address adds a row and a column to the tables.
const maxOutside = 10

// documentation contains addresses from the ranges that are reserved for documentation (RFC
// 5737, RFC 3849, RFC 9637), in order of preference. The demo assigns these addresses to
// hosts outside the cluster.
var documentation = []netip.Addr{
	netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("192.0.2.10"),
	netip.MustParseAddr("2001:db8::10"), netip.MustParseAddr("2001:db8:ffff::10"), netip.MustParseAddr("3fff::10"),
}

// outside returns ends with addresses that no pod uses. It creates an end in each ipBlock, and in
// each range of the except list of an ipBlock, but no more than maxOutside ends. The result `left`
// is the number of ranges without an end because of this limit. One further end has addresses that
// are in no ipBlock.
func outside(policies []*policy.Policy, taken map[netip.Addr]bool) (ends []*End, left int) {
	blocks := blocksOf(policies)
	var picked []netip.Addr
	add := func(within netip.Prefix, covers func(netip.Addr) bool, note string) {
		if slices.ContainsFunc(picked, covers) {
			return
		}
		a, ok := pick(within, covers, taken)
		if !ok {
			return
		}
		if len(ends) == maxOutside {
			left++
			return
		}
		picked = append(picked, a)
		ends = append(ends, &End{Name: a.String(), Kind: KindOutside, Addresses: []netip.Addr{a}, Note: note})
	}
	for _, b := range blocks {
		add(b.CIDR.Prefix, b.Contains, "in "+b.CIDR.Prefix.String())
		for _, e := range b.Except {
			add(e.Prefix, e.Prefix.Contains, "in "+e.Prefix.String()+", excepted")
		}
	}
	if rest := elsewhere(blocks, taken); rest != nil {
		ends = append(ends, rest)
	}
	return ends, left
}

// blocksOf returns the valid ipBlocks of the policies, without duplicates.
func blocksOf(policies []*policy.Policy) []*policy.Block {
	var out []*policy.Block
	for _, p := range policies {
		for _, r := range slices.Concat(p.Ingress, p.Egress) {
			for _, peer := range r.Peers {
				if peer.Block == nil || peer.Invalid {
					continue
				}
				if !slices.ContainsFunc(out, func(b *policy.Block) bool { return equal(b, peer.Block) }) {
					out = append(out, peer.Block)
				}
			}
		}
	}
	return out
}

func equal(a, b *policy.Block) bool {
	return a.CIDR.Prefix == b.CIDR.Prefix &&
		slices.EqualFunc(a.Except, b.Except, func(a, b policy.CIDR) bool { return a.Prefix == b.Prefix })
}

// elsewhere returns an end outside all ipBlocks. If possible, the end has one address of each
// family. If no address is outside all ipBlocks, elsewhere returns nil.
func elsewhere(blocks []*policy.Block, taken map[netip.Addr]bool) *End {
	end := &End{Name: "elsewhere", Kind: KindOutside, Note: "in no ipBlock"}
	for _, a := range documentation {
		if _, have := end.Address(a.Is4()); have || taken[a] {
			continue
		}
		if !slices.ContainsFunc(blocks, func(b *policy.Block) bool { return b.CIDR.Prefix.Contains(a) }) {
			end.Addresses = append(end.Addresses, a)
		}
	}
	if len(end.Addresses) == 0 {
		return nil
	}
	return end
}

// pick returns an address that a host can use and for which fits(address) is true. The address is
// not in the map `taken`. The function `fits` must return false for addresses outside the prefix
// `within`. pick prefers addresses from the `documentation` variable. If it cannot use any of
// these, it tries addresses at the beginning of the prefix, of the prefix's second half, of its
// second quarter, and so on.
func pick(within netip.Prefix, fits func(netip.Addr) bool, taken map[netip.Addr]bool) (netip.Addr, bool) {
	candidates := slices.Concat(documentation, following(within.Addr()))
	for bit := within.Bits(); bit < within.Addr().BitLen(); bit++ {
		candidates = append(candidates, following(withBit(within.Addr(), bit))...)
	}
	for _, a := range candidates {
		if fits(a) && !taken[a] && usable(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// following returns candidates for a host address in a block that starts at the address a. In
// order of preference, these are the tenth address after a, the first address after a, and a
// itself.
func following(a netip.Addr) []netip.Addr {
	tenth := a
	for range 10 {
		tenth = tenth.Next()
	}
	return []netip.Addr{tenth, a.Next(), a}
}

// withBit returns the address a with the given bit set to 1. Bit 0 is the most significant
// bit. For example, withBit(10.0.0.0, 8) is 10.128.0.0.
func withBit(a netip.Addr, bit int) netip.Addr {
	bytes := a.AsSlice()
	bytes[bit/8] |= 0x80 >> (bit % 8)
	out, _ := netip.AddrFromSlice(bytes)
	return out
}

// reserved contains address ranges that hosts cannot use.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("::/32"),
}

// usable reports whether a host can use an address and receive packets at this address.
func usable(a netip.Addr) bool {
	return a.IsValid() && a.IsGlobalUnicast() &&
		!slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}
