// Package family contains the address families of IP.
package family

import (
	"iter"
	"net/netip"
)

// Family is an address family. Its value is also an index into arrays with Count elements.
type Family int

// These are the families.
const (
	IPv4 Family = iota
	IPv6
	// Count is the number of families.
	Count = 2
)

// All contains all families.
var All = [Count]Family{IPv4, IPv6}

// Of returns the family of an address.
func Of(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// String returns the name of the family.
func (f Family) String() string { return [Count]string{"IPv4", "IPv6"}[f] }

// First returns the first address of the family in a list. If there is none, it returns the zero Addr.
func (f Family) First(addresses []netip.Addr) netip.Addr {
	for _, a := range addresses {
		if Of(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

// Pairs returns an iterator over the families that two ends have in common: first IPv4, then IPv6.
// For each family, it yields the first address of this family in each list. The parameter
// `assigned` is true if an end has no addresses in the input, and sluice assigned some to it. Then
// the real families of the end are unknown, so the iterator yields only the first common family.
func Pairs(from, to []netip.Addr, assigned bool) iter.Seq2[netip.Addr, netip.Addr] {
	return func(yield func(netip.Addr, netip.Addr) bool) {
		for _, f := range All {
			src, dst := f.First(from), f.First(to)
			if src.IsValid() && dst.IsValid() && (!yield(src, dst) || assigned) {
				return
			}
		}
	}
}
