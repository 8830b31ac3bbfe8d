package tiers

import (
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/cover"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// ShadowedRule is the check shadowed-rule.
var ShadowedRule = check.Check{
	Name:       "shadowed-rule",
	Severities: []check.Severity{check.Warning, check.Note},
	Scopes:     []check.Scope{check.ScopeCluster},
	Doc:        "a rule of a ClusterNetworkPolicy that has no effect, because an earlier rule of the tier matches all its flows. If both rules have the same action, the severity is `note`",
	Run: check.ForTiers(check.EachRule(func(p *check.Pass, at check.Place, r *policy.Rule) {
		s, earlier := shadows(p, r, at.RuleIndex())
		if earlier == nil {
			return
		}
		severity := check.Warning
		if earlier.Action == r.Action {
			severity = check.Note
		}
		where := ""
		if s != p.Policy {
			where = " of policy " + s.Name
		}
		p.Report(at, severity, "remove this rule, or move it before the earlier rule by its place or the priority of its policy",
			"rule %s%s with action %s is evaluated before this rule and matches all its flows: this rule has no effect", sample.RuleName(earlier), where, earlier.Action)
	})),
}

// shadows returns a rule that is evaluated before the given rule of the policy, and that matches
// every flow that the given rule matches. It also returns the policy of the returned rule. If
// there is no such rule, shadows returns nil.
func shadows(p *check.Pass, r *policy.Rule, index int) (*check.Policy, *policy.Rule) {
	for _, s := range p.Tiers[p.Tier] {
		rules := s.Rules(r.Direction)
		if s == p.Policy {
			rules = rules[:index]
		} else if !p.Spend(50) || !cover.PodSet(&s.Subject, &p.Subject) {
			continue
		}
		if i := slices.IndexFunc(rules, func(o policy.Rule) bool { return covers(p, &o, r) }); i >= 0 {
			return s, &rules[i]
		}
		if s == p.Policy {
			break
		}
	}
	return nil, nil
}

func covers(p *check.Pass, a, b *policy.Rule) bool {
	return !a.Invalid && !b.Invalid && p.Spend(10+100*(len(a.Peers)*len(b.Peers)+len(a.Ports)*len(b.Ports))) && cover.Rule(a, b)
}
