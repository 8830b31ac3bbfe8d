// Package cover compares the rules of policies. The functions compare only the text of selectors
// and ports. So a result does not depend on the pods that exist in a cluster. If a function cannot
// prove from the text that one part covers another, it reports false.
package cover

import (
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// Rule reports whether the rule `a` matches every flow that the rule `b` matches. It assumes that
// both rules apply to the same pods. Both rules must be valid and have the same direction.
func Rule(a, b *policy.Rule) bool {
	return peers(a.Peers, b.Peers) && ports(a.Ports, b.Ports)
}

// PodSet reports whether the set `a` contains every pod of the set `b`.
func PodSet(a, b *policy.PodSet) bool {
	if a.Namespace != b.Namespace {
		return false
	}
	return selector(a.Namespaces, b.Namespaces) && selector(a.Pods, b.Pods)
}

// PortsOverlap reports whether a flow can match both lists of ports. Pods can resolve a port name
// to any number, so a port name overlaps only with an equal name and with a range of all ports.
func PortsOverlap(a, b []policy.Port) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	return slices.ContainsFunc(a, func(p policy.Port) bool {
		return slices.ContainsFunc(b, func(q policy.Port) bool {
			return p.Protocol == q.Protocol && (p.Name == q.Name && p.First <= q.Last && q.First <= p.Last || whole(p) || whole(q))
		})
	})
}

// selector reports whether the selector `b` has all requirements of `a`. If it does, `a` matches
// every object that `b` matches.
func selector(a, b label.Selector) bool {
	required := slices.Collect(b.Requirements())
	for r := range a.Requirements() {
		if !slices.ContainsFunc(required, func(o label.Requirement) bool {
			return r.Key == o.Key && r.Operator == o.Operator && slices.Equal(r.Values, o.Values)
		}) {
			return false
		}
	}
	return true
}

func peers(a, b []policy.Peer) bool {
	if len(a) == 0 {
		return true
	}
	covered := func(q policy.Peer) bool {
		return slices.ContainsFunc(a, func(p policy.Peer) bool { return peer(&p, &q) })
	}
	return len(b) > 0 && !slices.ContainsFunc(b, func(q policy.Peer) bool { return !covered(q) })
}

func peer(a, b *policy.Peer) bool {
	switch {
	case a.Invalid || b.Invalid:
		return b.Invalid
	case a.Block != nil && b.Block != nil:
		return len(a.Block.Except) == 0 && contains(a.Block.CIDR.Prefix, b.Block.CIDR.Prefix)
	case a.Block != nil || b.Block != nil || a.OfNodes != b.OfNodes:
		return false
	case a.OfNodes:
		return selector(a.Nodes, b.Nodes)
	}
	return PodSet(&a.PodSet, &b.PodSet)
}

// whole reports whether the port matches every number to which a port name can resolve.
func whole(p policy.Port) bool { return p.Name == "" && p.First <= 1 && p.Last == 65535 }

func contains(a, b netip.Prefix) bool { return a.Bits() <= b.Bits() && a.Contains(b.Addr()) }

func ports(a, b []policy.Port) bool {
	if len(a) == 0 {
		return true
	}
	covered := func(q policy.Port) bool {
		return slices.ContainsFunc(a, func(p policy.Port) bool {
			return p.Protocol == q.Protocol && (p.Name == q.Name && p.First <= q.First && q.Last <= p.Last || q.Name != "" && whole(p))
		})
	}
	return len(b) > 0 && !slices.ContainsFunc(b, func(q policy.Port) bool { return !covered(q) })
}
