package lint

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/lint/internal/dns"
)

// tierFacts contains what checks of ClusterNetworkPolicies have found out about the pods of a group.
type tierFacts struct {
	// isolated is indexed by direction. An element is nil if it is not determined yet.
	isolated [2]*bool
	// dns is indexed by tier and direction. An element is nil if it is not determined yet.
	dns [rule.Tiers][2]*decidingRule
}

// decidingRule is a rule of a policy. If the policy is nil, there is no such rule.
type decidingRule struct {
	policy *subject
	index  int
	action rule.Action
}

// forTiers returns a function for Check.run that calls the function f only for
// ClusterNetworkPolicies.
func forTiers(f func(*pass)) func(*pass) {
	return func(p *pass) {
		if p.clusterScoped() {
			f(p)
		}
	}
}

// clusterScoped reports whether the policy is a ClusterNetworkPolicy.
func (s *subject) clusterScoped() bool { return s.Tier != rule.NetworkPolicyTier }

// selects reports whether a policy selects the pods of a group.
func (p *pass) selects(s *subject, g *group) bool {
	return p.matchesSpace(&s.Subject, g.namespace) && p.matches(s.Subject.Pods, g)
}

// isolated reports whether a NetworkPolicy isolates the pods of a group for a direction.
func (p *pass) isolated(g *group, d rule.Direction) bool {
	if known := g.tiers.isolated[d]; known != nil {
		return *known
	}
	isolated := slices.ContainsFunc(g.namespace.subjects, func(s *subject) bool { return s.Isolates[d] && p.matches(s.Subject.Pods, g) })
	if !p.stopped {
		g.tiers.isolated[d] = &isolated
	}
	return isolated
}

// dnsRule returns the first rule of a tier that matches DNS over UDP: for egress, from the pods of
// the group to a DNS server, and for ingress, from any peer to the pods of the group.
func (p *pass) dnsRule(t rule.Tier, d rule.Direction, g *group) decidingRule {
	if known := g.tiers.dns[t][d]; known != nil {
		return *known
	}
	found := p.findDNSRule(t, d, g)
	if !p.stopped {
		g.tiers.dns[t][d] = &found
	}
	return found
}

func (p *pass) findDNSRule(t rule.Tier, d rule.Direction, g *group) decidingRule {
	for _, s := range p.tiers[t] {
		if !p.selects(s, g) {
			continue
		}
		for i := range s.Rules(d) {
			r := &s.Rules(d)[i]
			if p.spend(10+10*len(r.Ports)) && !r.Invalid && dns.Includes(r.Ports, flow.UDP) && (d == rule.Ingress || p.reachesDNS(r)) {
				return decidingRule{s, i, r.Action}
			}
		}
	}
	return decidingRule{}
}
