package lint

import (
	"slices"

	"github.com/sluicenet/sluice/policy"
)

var networkOfPods = Check{
	Name:       "network-of-pods",
	Severities: []Severity{Warning, Note},
	Scopes:     []Scope{ScopeCluster},
	Doc:        "a network in a ClusterNetworkPolicy that is the address of a pod; a note if it is a larger network that contains pods, because `networks` also match pods",
	run: eachPeer(func(p *pass, at place, peer *policy.Peer) {
		if !p.clusterScoped() || peer.Block == nil || p.matchedPods(at) {
			return
		}
		pods := p.podsInBlock(peer.Block)
		if pods.Count > 0 {
			p.reportBlock(at.in(".networks"), peer.Block.CIDR, pods,
				"the network "+peer.Block.CIDR.Text+" also contains the addresses of pods: the rule matches these pods, too",
				"if only addresses outside the cluster are meant, add a rule for pods before this rule, or exclude the pod network")
		}
	}),
}

// matchedPods reports whether the rule of a place also matches all pods by their labels, or whether an
// earlier rule of the policy does so. The networks of the rule then decide only about other addresses.
func (p *pass) matchedPods(at place) bool {
	pods := &policy.Rule{Peers: make([]policy.Peer, 1), Ports: at.rule.Ports}
	return slices.ContainsFunc(p.Rules(at.rule.Direction)[:at.order.rule+1], func(r policy.Rule) bool { return p.covers(&r, pods) })
}
