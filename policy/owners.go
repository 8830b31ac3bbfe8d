package policy

import (
	"cmp"
	"net/netip"
	"slices"
)

// owners maps addresses to pods. Several pods can claim the same address. For example, an
// address can be assigned to a new pod before the object of the previous pod is deleted.
type owners struct {
	// The map `one` contains each address with the pod that owns the address.
	one map[netip.Addr]*TrackedPod
	// The map many contains only addresses that several pods claim. It lists all pods that
	// claim the address.
	many map[netip.Addr][]*TrackedPod
	// claimTo returns the kind of a pod's claim to an address.
	claimTo func(netip.Addr, *TrackedPod) claim
}

func (o *owners) of(a netip.Addr) *TrackedPod { return o.one[a] }

func (o *owners) claim(a netip.Addr, p *TrackedPod) {
	first := o.one[a]
	if first == nil {
		o.one[a] = p
		return
	}
	claims := o.many[a]
	if len(claims) == 0 {
		claims = []*TrackedPod{first}
	}
	if !slices.Contains(claims, p) {
		o.settle(a, append(claims, p))
	}
}

func (o *owners) release(a netip.Addr, p *TrackedPod) {
	claims, contested := o.many[a]
	if !contested {
		if o.one[a] == p {
			delete(o.one, a)
		}
		return
	}
	o.settle(a, slices.DeleteFunc(claims, func(q *TrackedPod) bool { return q == p }))
}

// settle stores all claims to an address and determines which pod owns the address.
func (o *owners) settle(a netip.Addr, claims []*TrackedPod) {
	o.one[a] = slices.MaxFunc(claims, func(p, q *TrackedPod) int { return o.precedence(a, p, q) })
	if len(claims) > 1 {
		o.many[a] = claims
	} else {
		delete(o.many, a)
	}
}

// precedence compares the claims of two pods to an address. The claim with the highest
// precedence sorts last. Claims are compared by kind first, in the order of the claim
// constants. Among claims of the same kind, running pods take precedence over other pods, and
// then newer pods take precedence over older pods.
func (o *owners) precedence(a netip.Addr, p, q *TrackedPod) int {
	running := func(p *TrackedPod) int {
		if p.Running {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(o.claimTo(a, p), o.claimTo(a, q)),
		cmp.Compare(running(p), running(q)),
		p.Created.Compare(q.Created),
		cmp.Compare(p.Namespace+"/"+p.Name, q.Namespace+"/"+q.Name),
	)
}
