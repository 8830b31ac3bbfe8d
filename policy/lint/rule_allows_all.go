package lint

import "github.com/sluicenet/sluice/policy"

var ruleAllowsAll = Check{
	Name:       "rule-allows-all",
	Severities: []Severity{Warning},
	Scopes:     []Scope{ScopePolicy},
	Doc:        "a rule `{}` in a list with other rules, which then have no effect",
	run: eachRule(func(p *pass, at place, r *policy.Rule) {
		if !p.clusterScoped() && len(r.Peers) == 0 && len(r.Ports) == 0 && len(p.Rules(r.Direction)) > 1 {
			p.report(at, Warning, "remove the other rules, or add peers or ports to this one",
				"this rule has neither peers nor ports and allows everything: the other rules of the list add nothing")
		}
	}),
}
