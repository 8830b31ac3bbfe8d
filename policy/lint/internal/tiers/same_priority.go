package tiers

import (
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/cover"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// SamePriority finds policies whose order the API does not define. Sluice evaluates policies with equal
// tier and priority in the order of their names, and other implementations can use another order.
var SamePriority = check.Check{
	Name:       "same-priority",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopeCluster},
	Doc:        "a rule of a ClusterNetworkPolicy that conflicts with another policy of the same tier and priority: the other policy has a different action for the same pods and flows",
	Run: check.ForTiers(check.EachRule(func(p *check.Pass, at check.Place, r *policy.Rule) {
		for _, other := range p.Tiers[p.Tier] {
			if other.Name >= p.Name || other.Priority != p.Priority {
				continue
			}
			rules := other.Rules(r.Direction)
			i := slices.IndexFunc(rules, func(o policy.Rule) bool { return conflict(p, r, &o) })
			if i < 0 || !shareAPod(p, &p.Subject, &other.Subject) {
				continue
			}
			p.Report(at, check.Warning, "give the policies different priorities",
				"rule %s of policy %s has the same tier and priority and action %s for some of the same flows; Sluice evaluates the policies in the order of their names, but other programs can use another order",
				sample.RuleName(&rules[i]), other.Name, rules[i].Action)
			return
		}
	})),
}

// conflict reports whether two rules have different actions and can match the same flow.
func conflict(p *check.Pass, a, b *policy.Rule) bool {
	if a.Action == b.Action || a.Invalid || b.Invalid || !p.Spend(10+10*len(a.Ports)*len(b.Ports)) || !cover.PortsOverlap(a.Ports, b.Ports) {
		return false
	}
	if len(a.Peers) == 0 || len(b.Peers) == 0 {
		return true
	}
	return slices.ContainsFunc(a.Peers, func(x policy.Peer) bool {
		return slices.ContainsFunc(b.Peers, func(y policy.Peer) bool { return peersOverlap(p, &x, &y) })
	})
}

// peersOverlap reports whether at least one address certainly matches both peers.
func peersOverlap(p *check.Pass, a, b *policy.Peer) bool {
	switch {
	case !p.Spend(10) || a.Invalid || b.Invalid:
		return false
	case a.Block != nil && b.Block != nil:
		return a.Block.CIDR.Prefix.Overlaps(b.Block.CIDR.Prefix)
	case a.OfNodes && b.OfNodes:
		return a.Nodes.Empty() || b.Nodes.Empty() || a.Nodes == b.Nodes
	case a.OfNodes || b.OfNodes:
		return false
	case a.Block != nil:
		return blockHasAPod(p, a.Block, &b.PodSet)
	case b.Block != nil:
		return blockHasAPod(p, b.Block, &a.PodSet)
	}
	return shareAPod(p, &a.PodSet, &b.PodSet)
}

// shareAPod reports whether at least one pod is in both sets. If the input contains no pods, it
// reports whether one set is a subset of the other.
func shareAPod(p *check.Pass, a, b *policy.PodSet) bool {
	if !p.PodsKnown {
		return cover.PodSet(a, b) || cover.PodSet(b, a)
	}
	for g := range p.GroupsOf(a) {
		if p.MatchesSpace(b, g.Namespace) && p.Matches(b.Pods, g) {
			return true
		}
	}
	return false
}

// blockHasAPod reports whether a block contains the address of a pod of the set.
func blockHasAPod(p *check.Pass, b *policy.Block, set *policy.PodSet) bool {
	for part := range p.InBlock(b) {
		for i := range part {
			if g := part[i].Group; p.MatchesSpace(set, g.Namespace) && p.Matches(set.Pods, g) {
				return true
			}
		}
	}
	return false
}
