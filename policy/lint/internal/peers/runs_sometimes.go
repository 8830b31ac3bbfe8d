package peers

import (
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// RunsSometimes finds selectors that match only pods that run sometimes, such as the pods of a CronJob
// between two runs. Such a policy does nothing at the moment, but it is not a mistake.
var RunsSometimes = check.Check{
	Name:       "runs-sometimes",
	Severities: []check.Severity{check.Note},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	Doc:        "a selector that matches only pods that have finished, such as the pods of a CronJob between two runs",
	Run: func(p *check.Pass) {
		if onlyFinished(p, &p.Subject) {
			p.Report(check.Outside(subjectField(p.Policy), check.SubjectPart), check.Note, "",
				"all pods that the policy selects have finished: the policy applies again when such pods run, for example the pods of a CronJob")
		}
		check.EachPeer(func(p *check.Pass, at check.Place, peer *policy.Peer) {
			if isSelector(peer) && p.Contains(peer) && onlyFinished(p, &peer.PodSet) {
				p.Report(at, check.Note, "",
					"all pods that this entry selects have finished: it matches again when such pods run, for example the pods of a CronJob")
			}
		})(p)
	},
}

// onlyFinished reports whether the set contains no pod that selectors match, but would contain a
// finished pod if this pod were still running.
func onlyFinished(p *check.Pass, set *policy.PodSet) bool {
	return p.FinishedPodOf(set) != nil && p.HostPodOf(set) == nil && !check.AnyPod(p.GroupsOf(set))
}

func subjectField(p *check.Policy) string {
	if p.ClusterScoped() {
		return "spec.subject"
	}
	return "spec.podSelector"
}
