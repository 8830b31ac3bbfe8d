package lint

import (
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/cover"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

var shadowedRule = Check{
	Name:       "shadowed-rule",
	Severities: []Severity{Warning, Note},
	Scopes:     []Scope{ScopeCluster},
	Doc:        "a rule of a ClusterNetworkPolicy that has no effect, because an earlier rule of the tier matches all its flows; a note if the actions are equal",
	run: forTiers(eachRule(func(p *pass, at place, r *policy.Rule) {
		s, earlier := p.shadows(r, at.order.rule)
		if earlier == nil {
			return
		}
		severity := Warning
		if earlier.Action == r.Action {
			severity = Note
		}
		where := ""
		if s != p.subject {
			where = " of policy " + s.Name
		}
		p.report(at, severity, "remove this rule, or move it before the earlier rule by its place or the priority of its policy",
			"rule %s%s with action %s is evaluated before this rule and matches all its flows: this rule has no effect", sample.RuleName(earlier), where, earlier.Action)
	})),
}

// shadows returns a rule that is evaluated before the given rule of the policy and matches all its
// flows, and the policy of this rule. If there is no such rule, it returns nil.
func (p *pass) shadows(r *policy.Rule, index int) (*subject, *policy.Rule) {
	for _, s := range p.tiers[p.Tier] {
		rules := s.Rules(r.Direction)
		if s == p.subject {
			rules = rules[:index]
		} else if !p.spend(50) || !cover.PodSet(&s.Subject, &p.Subject) {
			continue
		}
		if i := slices.IndexFunc(rules, func(o policy.Rule) bool { return p.covers(&o, r) }); i >= 0 {
			return s, &rules[i]
		}
		if s == p.subject {
			break
		}
	}
	return nil, nil
}

func (p *pass) covers(a, b *policy.Rule) bool {
	return !a.Invalid && !b.Invalid && p.spend(10+100*(len(a.Peers)*len(b.Peers)+len(a.Ports)*len(b.Ports))) && cover.Rule(a, b)
}
