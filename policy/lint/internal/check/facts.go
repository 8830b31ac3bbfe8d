package check

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// TierFacts caches results of checks of ClusterNetworkPolicies for the pods of a group.
type TierFacts struct {
	// isolated is indexed by direction. An element is nil if it is not determined yet.
	isolated [2]*bool
	// DNS is indexed by tier and direction. An element is nil if it is not determined yet.
	DNS [rule.Tiers][2]*DecidingRule
}

// DecidingRule is a rule of a policy. If the policy is nil, there is no such rule.
type DecidingRule struct {
	Policy *Policy
	Index  int
	Action rule.Action
}

// ForTiers returns a function for Check.Run that calls the function f only for
// ClusterNetworkPolicies.
func ForTiers(f func(*Pass)) func(*Pass) {
	return func(p *Pass) {
		if p.ClusterScoped() {
			f(p)
		}
	}
}

// ClusterScoped reports whether the policy is a ClusterNetworkPolicy.
func (s *Policy) ClusterScoped() bool { return s.Tier != rule.NetworkPolicyTier }

// Selects reports whether a policy selects the pods of a group.
func (p *Pass) Selects(s *Policy, g *Group) bool {
	return p.MatchesSpace(&s.Subject, g.Namespace) && p.Matches(s.Subject.Pods, g)
}

// Isolated reports whether a NetworkPolicy isolates the pods of a group for a direction.
func (p *Pass) Isolated(g *Group, d rule.Direction) bool {
	if known := g.Tiers.isolated[d]; known != nil {
		return *known
	}
	isolated := slices.ContainsFunc(g.Namespace.Policies, func(s *Policy) bool { return s.Isolates[d] && p.Matches(s.Subject.Pods, g) })
	if !p.Stopped {
		g.Tiers.isolated[d] = &isolated
	}
	return isolated
}

// DNSState is the progress of the check no-dns for a namespace.
type DNSState struct {
	Started, Done bool
	// Allows is true if a policy of the namespace allows DNS. EgressRules is true if a policy of
	// the namespace isolates pods for egress and has egress rules.
	Allows, EgressRules bool
}
