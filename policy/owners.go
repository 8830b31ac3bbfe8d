package policy

import (
	"cmp"
	"net/netip"
	"slices"
)

// owners maps addresses to pods. Several pods can claim the same address if the address was
// assigned to a new pod before the object of its previous owner was deleted.
type owners struct {
	// one contains the pod that owns each address.
	one map[netip.Addr]*TrackedPod
	// many lists all pods that claim an address, for each address that several pods claim.
	many map[netip.Addr][]*TrackedPod
	// claimTo returns the kind of claim that a pod has to an address.
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

// settle stores all claims to an address and selects the pod that owns the address.
func (o *owners) settle(a netip.Addr, claims []*TrackedPod) {
	o.one[a] = slices.MaxFunc(claims, func(p, q *TrackedPod) int { return o.precedence(a, p, q) })
	if len(claims) > 1 {
		o.many[a] = claims
	} else {
		delete(o.many, a)
	}
}

// precedence compares the claims of two pods to an address for sorting. The claim that takes
// precedence sorts last. The claims are ordered by kind, as in the definition of claim.
// Among claims of the same kind, a running pod takes precedence over other pods, and a newer
// pod takes precedence over an older pod.
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
