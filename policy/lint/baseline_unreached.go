package lint

import "github.com/sluicenet/sluice/dataplane/rule"

var baselineUnreached = Check{
	Name:       "baseline-unreached",
	Severities: []Severity{Note},
	Scopes:     []Scope{ScopeCluster},
	Doc:        "rules of the Baseline tier that are never evaluated, because NetworkPolicies isolate all pods that the policy selects",
	run: forTiers(func(p *pass) {
		if p.Tier == rule.BaselineTier {
			p.unreached(rule.Ingress, ingressPart)
			p.unreached(rule.Egress, egressPart)
		}
	}),
}

func (p *pass) unreached(d rule.Direction, part int) {
	if len(p.Rules(d)) == 0 || !anyPod(p.selected()) {
		return
	}
	for g := range p.selected() {
		if !p.isolated(g, d) {
			return
		}
	}
	p.report(outside("spec."+d.String(), part), Note, "keep the rules if they are a default for future pods; otherwise remove them",
		"NetworkPolicies isolate every pod that the policy selects for %s, so that the Baseline tier is not evaluated for any of them", d)
}
