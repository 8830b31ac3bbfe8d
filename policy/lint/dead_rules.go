package lint

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/rule"
)

var deadRules = Check{
	Name:       "dead-rules",
	Severities: []Severity{Warning},
	Doc:        "rules of a direction that `policyTypes` does not list",
	run: eachPolicy(func(p *pass, s *subject) {
		p.rulesWithoutType(s, rule.Ingress, "Ingress")
		p.rulesWithoutType(s, rule.Egress, "Egress")
	}),
}

func (p *pass) rulesWithoutType(s *subject, d rule.Direction, policyType string) {
	n := len(s.Rules(d))
	if n == 0 || s.Isolates[d] {
		return
	}
	rules := fmt.Sprintf("its %d %s rules do nothing", n, d)
	if n == 1 {
		rules = fmt.Sprintf("its only %s rule does nothing", d)
	}
	p.report(s.at("spec."+d.String(), typesPart), Warning, fmt.Sprintf("add %s to spec.policyTypes, or remove the rules", policyType),
		"policyTypes does not list %s, so %s", policyType, rules)
}
