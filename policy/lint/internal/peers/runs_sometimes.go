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
	Doc:        "a selector that matches only pods that are not running now, such as the pods of a CronJob between two runs",
	Run: func(p *check.Pass) {
		if pods := onlySometimes(p, &p.Subject); pods != "" {
			p.Report(check.Outside(subjectField(p.Policy), check.SubjectPart), check.Note, "",
				"none of the pods that the policy selects is running: the policy applies when such pods run, for example %s", pods)
		}
		check.EachPeer(func(p *check.Pass, at check.Place, peer *policy.Peer) {
			if !isSelector(peer) || !p.Contains(peer) {
				return
			}
			if pods := onlySometimes(p, &peer.PodSet); pods != "" {
				p.Report(at, check.Note, "",
					"none of the pods that this entry selects is running: it matches when such pods run, for example %s", pods)
			}
		})(p)
	},
}

// onlySometimes returns a description of pods that run only sometimes, if the set contains only such
// pods, and none of them is running. Otherwise it returns "".
func onlySometimes(p *check.Pass, set *policy.PodSet) (pods string) {
	finished := p.FinishedPodOf(set) != nil
	if !finished && len(p.RunSometimes) == 0 {
		return ""
	}
	for g := range p.GroupsOf(set) {
		if g.RunsSometimes == "" {
			return ""
		}
		if pods == "" {
			pods = "the pods of " + g.RunsSometimes
		}
	}
	if pods == "" && finished {
		pods = "the pods of a CronJob"
	}
	if p.HostPodOf(set) != nil {
		return ""
	}
	return pods
}

func subjectField(p *check.Policy) string {
	if p.ClusterScoped() {
		return "spec.subject"
	}
	return "spec.podSelector"
}
