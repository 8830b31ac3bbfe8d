package policy

import (
	"cmp"
	"net/netip"
	"slices"
)

// owners says who has an address. Several live objects can claim one, when an
// address moved on before the object of its last owner was gone: the pod that
// is running and newest has it.
type owners struct {
	one map[netip.Addr]*pod
	// many holds all claims to an address that has more than one.
	many map[netip.Addr][]*pod
}

func (o *owners) of(a netip.Addr) *pod { return o.one[a] }

func (o *owners) claim(a netip.Addr, p *pod) {
	held := o.one[a]
	if held == nil {
		o.one[a] = p
		return
	}
	claims := o.many[a]
	if len(claims) == 0 {
		claims = []*pod{held}
	}
	if !slices.Contains(claims, p) {
		o.settle(a, append(claims, p))
	}
}

func (o *owners) release(a netip.Addr, p *pod) {
	claims, contested := o.many[a]
	if !contested {
		if o.one[a] == p {
			delete(o.one, a)
		}
		return
	}
	o.settle(a, slices.DeleteFunc(claims, func(q *pod) bool { return q == p }))
}

// settle notes all claims to an address and who of them has it.
func (o *owners) settle(a netip.Addr, claims []*pod) {
	o.one[a] = slices.MaxFunc(claims, precedence)
	if len(claims) > 1 {
		o.many[a] = claims
	} else {
		delete(o.many, a)
	}
}

// precedence orders two claims, the stronger one last.
func precedence(p, q *pod) int {
	running := func(p *pod) int {
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
