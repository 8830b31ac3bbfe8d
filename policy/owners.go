package policy

import (
	"cmp"
	"net/netip"
	"slices"
)

// owners maps addresses to pods. Several Pod objects can list the same address, if the
// address was assigned to a new pod before the object of its last owner was deleted. A
// running pod then takes precedence over other pods, and a newer pod over an older pod.
type owners struct {
	one map[netip.Addr]*TrackedPod
	// many lists all claims to each address that several pods claim.
	many map[netip.Addr][]*TrackedPod
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
	o.one[a] = slices.MaxFunc(claims, precedence)
	if len(claims) > 1 {
		o.many[a] = claims
	} else {
		delete(o.many, a)
	}
}

// precedence compares two claims for sorting. The claim that takes precedence sorts last.
func precedence(p, q *TrackedPod) int {
	running := func(p *TrackedPod) int {
		if p.Running {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(running(p), running(q)),
		p.Created.Compare(q.Created),
		cmp.Compare(p.Namespace+"/"+p.Name, q.Namespace+"/"+q.Name),
	)
}
