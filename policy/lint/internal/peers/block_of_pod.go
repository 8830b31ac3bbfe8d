package peers

import (
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// BlockOfPod is the check block-of-pod.
var BlockOfPod = check.Check{
	Name:       "block-of-pod",
	Severities: []check.Severity{check.Warning, check.Note},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	Doc:        "an `ipBlock` that is the address of a single pod. If it is a larger block with addresses of pods, the severity is `note`",
	Run: check.EachPeer(func(p *check.Pass, at check.Place, peer *policy.Peer) {
		if p.ClusterScoped() || peer.Block == nil || check.WholeExcept(peer.Block) >= 0 {
			return
		}
		if pods := p.PodsInBlock(peer.Block); pods.Count > 0 {
			p.ReportBlock(at.In(".ipBlock.cidr"), peer.Block.CIDR, pods, "the block also contains the addresses of pods",
				"select pods by their labels, and except the pod network from the block; some implementations match no pod by ipBlock")
		}
	}),
}
