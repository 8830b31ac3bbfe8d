package tiers

import (
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// BaselineUnreached is the check baseline-unreached.
var BaselineUnreached = check.Check{
	Name:       "baseline-unreached",
	Severities: []check.Severity{check.Note},
	Scopes:     []check.Scope{check.ScopeCluster},
	Doc:        "rules of a ClusterNetworkPolicy in the Baseline tier that are never evaluated, because NetworkPolicies isolate all pods that it selects",
	Run: check.ForTiers(func(p *check.Pass) {
		if p.Tier == rule.BaselineTier {
			unreached(p, rule.Ingress, check.IngressPart)
			unreached(p, rule.Egress, check.EgressPart)
		}
	}),
}

func unreached(p *check.Pass, d rule.Direction, part int) {
	if len(p.Rules(d)) == 0 || !check.AnyPod(p.Selected()) {
		return
	}
	for g := range p.Selected() {
		if !p.Isolated(g, d) {
			return
		}
	}
	p.Report(check.Outside("spec."+d.String(), part), check.Note, "keep the rules if they are a default for future pods; otherwise remove them",
		"NetworkPolicies isolate every pod that the policy selects for %s, so that the Baseline tier is not evaluated for any of them", d)
}
