package tiers

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// EveryPodQueued is the check every-pod-queued.
var EveryPodQueued = check.Check{
	Name:       "every-pod-queued",
	Severities: []check.Severity{check.Note},
	Scopes:     []check.Scope{check.ScopeCluster},
	Doc:        "a ClusterNetworkPolicy that can deny flows of every pod, so that Sluice evaluates the first packet of every flow in the cluster",
	Run: check.ForTiers(func(p *check.Pass) {
		for _, d := range []rule.Direction{rule.Ingress, rule.Egress} {
			denies := slices.ContainsFunc(p.Rules(d), func(r policy.Rule) bool { return r.Action == rule.ActionDeny && !r.Invalid })
			if denies && selectsEveryPod(p) {
				p.Report(check.Outside("spec.subject", check.SubjectPart), check.Note, "if only some pods need the rules, select these pods",
					"the policy can deny %s of every pod, so that the first packet of each flow of every pod is queued and evaluated", d)
			}
		}
	}),
}

// selectsEveryPod reports whether the subject contains every pod of the input. If the input contains
// no pods, it reports whether the selectors of the subject are empty.
func selectsEveryPod(p *check.Pass) bool {
	if !p.PodsKnown {
		return p.Subject.Namespaces.Empty() && p.Subject.Pods.Empty()
	}
	for _, s := range p.WithPods {
		if slices.ContainsFunc(s.Groups, func(g *check.Group) bool { return !p.Selects(p.Policy, g) }) {
			return false
		}
	}
	return true
}
