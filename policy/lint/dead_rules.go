package lint

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/rule"
)

var deadRules = Check{
	Name:       "dead-rules",
	Severities: []Severity{Warning},
	Scopes:     []Scope{ScopePolicy},
	Doc:        "rules of a direction that `policyTypes` does not list",
	run: func(p *pass) {
		p.rulesWithoutType(rule.Ingress, "Ingress")
		p.rulesWithoutType(rule.Egress, "Egress")
	},
}

func (p *pass) rulesWithoutType(d rule.Direction, policyType string) {
	n := len(p.Rules(d))
	if n == 0 || p.Affects(d) {
		return
	}
	rules := fmt.Sprintf("its %d %s rules do nothing", n, d)
	if n == 1 {
		rules = fmt.Sprintf("its only %s rule does nothing", d)
	}
	p.report(outside("spec."+d.String(), typesPart), Warning, fmt.Sprintf("add %s to spec.policyTypes, or remove the rules", policyType),
		"policyTypes does not list %s, so %s", policyType, rules)
}
