package policy

import (
	"cmp"
	"net/netip"
)

// precedence compares the claims of two pods to an address. The claim with the higher precedence
// sorts last. For example, two pods claim an address if it is assigned to a new pod before the
// object of the previous pod is deleted. Claims are compared by kind first, in the order of the
// claim constants. If the kinds are equal, running pods take precedence over other pods, and then
// newer pods take precedence over older pods.
func (s *Snapshot) precedence(a netip.Addr, p, q *TrackedPod) int {
	running := func(p *TrackedPod) int {
		if p.Running {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(s.claimTo(a, p), s.claimTo(a, q)),
		cmp.Compare(running(p), running(q)),
		p.Created.Compare(q.Created),
		cmp.Compare(p.String(), q.String()),
	)
}
