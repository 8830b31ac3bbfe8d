package manifest

import (
	"net/netip"
)

// PlanningIPv4 and PlanningIPv6 are where pods that never saw a cluster get
// their addresses from: the ranges set aside for benchmarks (RFC 2544, RFC
// 5180), so that no real address is hit.
var (
	PlanningIPv4 = netip.MustParsePrefix("198.18.0.0/15")
	PlanningIPv6 = netip.MustParsePrefix("2001:2::/48")
)

// PlanAddresses gives every pod without a status an address of each family, in
// the order of the input, and counts those pods. Pods of the host network get
// none, and so does a pod beyond the size of the range. The objects read stay
// what they are otherwise; whoever shows verdicts that rest on such addresses
// should say so.
func (s *Set) PlanAddresses() int {
	taken := map[netip.Addr]bool{}
	for i := range s.Pods {
		for _, a := range s.Pods[i].Addresses {
			taken[a] = true
		}
	}
	count := 0
	four, six := PlanningIPv4.Addr(), PlanningIPv6.Addr()
	for i := range s.Pods {
		p := &s.Pods[i]
		if !p.NoStatus || p.HostNetwork {
			continue
		}
		four, six = nextFree(four, taken), nextFree(six, taken)
		if !PlanningIPv4.Contains(four) {
			return count
		}
		p.Addresses = []netip.Addr{four, six}
		count++
	}
	return count
}

func nextFree(a netip.Addr, taken map[netip.Addr]bool) netip.Addr {
	for a = a.Next(); taken[a]; {
		a = a.Next()
	}
	return a
}
