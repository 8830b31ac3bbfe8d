package tiers

import (
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// NetworkOfPods is the check network-of-pods.
var NetworkOfPods = check.Check{
	Name:       "network-of-pods",
	Severities: []check.Severity{check.Warning, check.Note},
	Scopes:     []check.Scope{check.ScopeCluster},
	Doc:        "an entry of `networks` in a ClusterNetworkPolicy that is the address of a pod, and so matches this pod. If it is a larger network with addresses of pods, the severity is `note`",
	Run: check.EachPeer(func(p *check.Pass, at check.Place, peer *policy.Peer) {
		if !p.ClusterScoped() || peer.Block == nil || matchedPods(p, at) {
			return
		}
		pods := p.PodsInBlock(peer.Block)
		if pods.Count > 0 {
			p.ReportBlock(at.In(".networks"), peer.Block.CIDR, pods,
				"the network "+peer.Block.CIDR.Text+" also contains the addresses of pods: the rule matches these pods, too",
				"if only addresses outside the cluster are meant, add a rule for pods before this rule, or exclude the pod network")
		}
	}),
}

// matchedPods reports whether the rule of a place, or an earlier rule of the policy, has a peer
// that selects all pods. In this case, the networks of the rule do not change the verdict for any
// pod.
func matchedPods(p *check.Pass, at check.Place) bool {
	pods := &policy.Rule{Peers: make([]policy.Peer, 1), Ports: at.Rule.Ports}
	return slices.ContainsFunc(p.Rules(at.Rule.Direction)[:at.RuleIndex()+1], func(r policy.Rule) bool { return covers(p, &r, pods) })
}
