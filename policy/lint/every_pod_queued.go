package lint

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

var everyPodQueued = Check{
	Name:       "every-pod-queued",
	Severities: []Severity{Note},
	Scopes:     []Scope{ScopeCluster},
	Doc:        "a ClusterNetworkPolicy that can deny flows of every pod of the cluster, so that the first packets of all flows of all pods are queued",
	run: forTiers(func(p *pass) {
		for _, d := range []rule.Direction{rule.Ingress, rule.Egress} {
			denies := slices.ContainsFunc(p.Rules(d), func(r policy.Rule) bool { return r.Action == rule.ActionDeny && !r.Invalid })
			if denies && p.selectsEveryPod() {
				p.report(outside("spec.subject", subjectPart), Note, "if only some pods need the rules, select these pods",
					"the policy can deny %s of every pod, so that the first packet of each flow of every pod is queued and evaluated", d)
			}
		}
	}),
}

// selectsEveryPod reports whether the subject contains every pod of the input. If the input contains
// no pods, it reports whether the selectors of the subject are empty.
func (p *pass) selectsEveryPod() bool {
	if !p.podsKnown {
		return p.Subject.Namespaces.Empty() && p.Subject.Pods.Empty()
	}
	for _, s := range p.withPods {
		if slices.ContainsFunc(s.groups, func(g *group) bool { return !p.selects(p.subject, g) }) {
			return false
		}
	}
	return true
}
