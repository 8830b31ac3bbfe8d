package demo

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

// mostOutside bounds the addresses outside: each is a row and a column.
const mostOutside = 10

// nowhere are addresses that the ranges for documentation give (RFC 5737, RFC
// 3849), in the order in which they stand in for the world.
var nowhere = []netip.Addr{
	netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("192.0.2.10"),
	netip.MustParseAddr("2001:db8::10"), netip.MustParseAddr("2001:db8:ffff::10"), netip.MustParseAddr("3fff::10"),
}

// outside picks addresses of no pod: one in each ipBlock, one in each of its
// excepts, and one of each family that no block has. It counts those that are
// too many.
func outside(policies []*networkingv1.NetworkPolicy, taken map[netip.Addr]bool) (ends []*End, left int) {
	blocks := blocksOf(policies)
	var picked []netip.Addr
	add := func(within netip.Prefix, without []netip.Prefix, note string) {
		covers := func(a netip.Addr) bool { return within.Contains(a) && !anyContains(without, a) }
		if slices.ContainsFunc(picked, covers) {
			return
		}
		a, ok := pick(within, covers, taken)
		if !ok {
			return
		}
		if len(ends) == mostOutside {
			left++
			return
		}
		picked = append(picked, a)
		ends = append(ends, &End{Name: a.String(), Kind: kindOutside, Addresses: []netip.Addr{a}, Note: note})
	}
	for _, b := range blocks {
		add(b.cidr, b.excepts, "in "+b.cidr.String())
		for _, e := range b.excepts {
			add(e, nil, "in "+e.String()+", excepted")
		}
	}
	if world := elsewhere(blocks, taken); world != nil {
		ends = append(ends, world)
	}
	return ends, left
}

type block struct {
	cidr    netip.Prefix
	excepts []netip.Prefix
}

// blocksOf gives the ipBlocks that can be read, each once.
func blocksOf(policies []*networkingv1.NetworkPolicy) []block {
	var out []block
	add := func(peers []networkingv1.NetworkPolicyPeer) {
		for _, p := range peers {
			if p.IPBlock == nil {
				continue
			}
			cidr, err := netip.ParsePrefix(p.IPBlock.CIDR)
			if err != nil {
				continue
			}
			b := block{cidr: cidr.Masked()}
			for _, text := range p.IPBlock.Except {
				if e, err := netip.ParsePrefix(text); err == nil {
					b.excepts = append(b.excepts, e.Masked())
				}
			}
			if !slices.ContainsFunc(out, func(o block) bool { return o.cidr == b.cidr && slices.Equal(o.excepts, b.excepts) }) {
				out = append(out, b)
			}
		}
	}
	for _, np := range policies {
		for _, r := range np.Spec.Ingress {
			add(r.From)
		}
		for _, r := range np.Spec.Egress {
			add(r.To)
		}
	}
	return out
}

// elsewhere is the rest of the world.
func elsewhere(blocks []block, taken map[netip.Addr]bool) *End {
	end := &End{Name: "elsewhere", Kind: kindOutside, Note: "in no ipBlock"}
	for _, a := range nowhere {
		if _, have := end.address(a.Is4()); have || taken[a] {
			continue
		}
		if !slices.ContainsFunc(blocks, func(b block) bool { return b.cidr.Contains(a) }) {
			end.Addresses = append(end.Addresses, a)
		}
	}
	if len(end.Addresses) == 0 {
		return nil
	}
	return end
}

// pick finds a free address that fits: a documentation address if one does,
// else the tenth of the prefix or of one of its halves, quarters and so on.
func pick(within netip.Prefix, fits func(netip.Addr) bool, taken map[netip.Addr]bool) (netip.Addr, bool) {
	candidates := slices.Concat(nowhere, near(within.Addr()))
	for bit := within.Bits(); bit < within.Addr().BitLen(); bit++ {
		candidates = append(candidates, near(withBit(within.Addr(), bit))...)
	}
	for _, a := range candidates {
		if fits(a) && !taken[a] && usable(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// near gives the address ten further on, the next one, and the address itself.
func near(a netip.Addr) []netip.Addr {
	tenth := a
	for range 10 {
		tenth = tenth.Next()
	}
	return []netip.Addr{tenth, a.Next(), a}
}

// withBit sets a bit, counted from the left.
func withBit(a netip.Addr, bit int) netip.Addr {
	bytes := a.AsSlice()
	bytes[bit/8] |= 0x80 >> (bit % 8)
	out, _ := netip.AddrFromSlice(bytes)
	return out
}

var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("::/32"),
}

// usable reports whether a host can have the address and be reached by it.
func usable(a netip.Addr) bool {
	return a.IsValid() && a.IsGlobalUnicast() && !anyContains(reserved, a)
}

func anyContains(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
