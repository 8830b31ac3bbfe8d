package inventory

import "net/netip"

// BenchmarkIPv4 and BenchmarkIPv6 are the ranges that RFC 2544 and RFC 5180 reserve for
// benchmarks. AssignAddresses uses these ranges because no real host should have an address
// in either range.
var (
	BenchmarkIPv4 = netip.MustParsePrefix("198.18.0.0/15")
	BenchmarkIPv6 = netip.MustParsePrefix("2001:2::/48")
)

// AssignAddresses assigns addresses from the benchmark ranges, one IPv4 address and one IPv6
// address, to every pod without a status. It processes the pods in the order of the input, skips
// pods in the host network, and stops when the IPv4 range is exhausted. It returns the number of
// pods to which it assigned addresses. Callers that print these addresses should mention that the
// pods do not really have them.
func (s *Set) AssignAddresses() int {
	taken := map[netip.Addr]bool{}
	for i := range s.Pods {
		for _, a := range s.Pods[i].Addresses {
			taken[a] = true
		}
	}
	count := 0
	four, six := BenchmarkIPv4.Addr(), BenchmarkIPv6.Addr()
	for i := range s.Pods {
		p := &s.Pods[i]
		if !p.NoStatus || p.HostNetwork {
			continue
		}
		four, six = nextFree(four, taken), nextFree(six, taken)
		if !BenchmarkIPv4.Contains(four) {
			return count
		}
		p.Addresses, p.Assigned = []netip.Addr{four, six}, true
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
