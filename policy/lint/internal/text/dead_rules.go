package text

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// DeadRules is the check dead-rules.
var DeadRules = check.Check{
	Name:       "dead-rules",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopePolicy},
	Doc:        "rules of a direction that `policyTypes` does not list",
	Run: func(p *check.Pass) {
		rulesWithoutType(p, rule.Ingress, "Ingress")
		rulesWithoutType(p, rule.Egress, "Egress")
	},
}

func rulesWithoutType(p *check.Pass, d rule.Direction, policyType string) {
	n := len(p.Rules(d))
	if n == 0 || p.Affects(d) {
		return
	}
	rules := fmt.Sprintf("its %d %s rules do nothing", n, d)
	if n == 1 {
		rules = fmt.Sprintf("its only %s rule does nothing", d)
	}
	p.Report(check.Outside("spec."+d.String(), check.TypesPart), check.Warning, fmt.Sprintf("add %s to spec.policyTypes, or remove the rules", policyType),
		"policyTypes does not list %s, so %s", policyType, rules)
}
