package text

import (
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// RuleAllowsAll is the check rule-allows-all.
var RuleAllowsAll = check.Check{
	Name:       "rule-allows-all",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopePolicy},
	Doc:        "a rule `{}` in a list with other rules, which then have no effect",
	Run: check.EachRule(func(p *check.Pass, at check.Place, r *policy.Rule) {
		if !p.ClusterScoped() && r.MatchesAll() && len(p.Rules(r.Direction)) > 1 {
			p.Report(at, check.Warning, "remove the other rules, or add peers or ports to this one",
				"this rule has neither peers nor ports and allows everything: the other rules of the list add nothing")
		}
	}),
}
