package peers

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/cover"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// AllowAllElsewhere finds policies that restrict nothing, because another policy allows everything for
// the same pods. Policies only add to what other policies allow.
var AllowAllElsewhere = check.Check{
	Name:       "allow-all-elsewhere",
	Severities: []check.Severity{check.Warning, check.Note},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	Doc:        "a policy that restricts nothing, because another policy has a rule `{}` for the same pods. If this is the case for only one of the two directions of the policy, the severity is `note`",
	Run: func(p *check.Pass) {
		if p.ClusterScoped() {
			return
		}
		ingress, egress := allowsAllOf(p, rule.Ingress), allowsAllOf(p, rule.Egress)
		severity := check.Note
		if p.Isolates[rule.Ingress] == (ingress != nil) && p.Isolates[rule.Egress] == (egress != nil) {
			severity = check.Warning
		}
		reportAllowAll(p, rule.Ingress, ingress, severity)
		reportAllowAll(p, rule.Egress, egress, severity)
	},
}

func reportAllowAll(p *check.Pass, d rule.Direction, other *check.Policy, severity check.Severity) {
	if other == nil {
		return
	}
	p.Report(check.Outside("spec."+d.String(), check.EndPart), severity, "policies add up: to restrict the pods, remove the rule {} from policy "+other.Policy.Name,
		"policy %s allows all %s of the same pods: this policy does not restrict their %s", other.Policy.Name, d, d)
}

// allowsAllOf returns another policy that allows everything in a direction for all pods that the policy
// selects. It returns nil if there is none, or if the policy itself allows everything.
func allowsAllOf(p *check.Pass, d rule.Direction) *check.Policy {
	if !p.Isolates[d] || allowsAll(p, p.Policy, d) {
		return nil
	}
	for _, other := range p.Namespace.Policies {
		if allowsAll(p, other, d) && p.Spend(50+p.Subject.Pods.Size()*other.Subject.Pods.Size()/8) && cover.PodSet(&other.Subject, &p.Subject) {
			return other
		}
	}
	return nil
}

// allowsAll reports whether a policy has a rule for a direction that allows everything.
func allowsAll(p *check.Pass, s *check.Policy, d rule.Direction) bool {
	return s.Isolates[d] && p.Spend(10+5*len(s.Rules(d))) && slices.ContainsFunc(s.Rules(d), func(r policy.Rule) bool {
		return !r.Invalid && r.MatchesAll()
	})
}
