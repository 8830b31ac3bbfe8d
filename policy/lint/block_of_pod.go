package lint

import (
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

var blockOfPod = Check{
	Name:       "block-of-pod",
	Severities: []Severity{Warning, Note},
	Scopes:     []Scope{ScopeNamespace, ScopeCluster},
	Doc:        "an `ipBlock` that is the address of a pod; a note if it is a larger block that contains pods",
	run: eachPeer(func(p *pass, at place, peer *policy.Peer) {
		if p.clusterScoped() || peer.Block == nil || wholeExcept(peer.Block) >= 0 {
			return
		}
		if pods := p.podsInBlock(peer.Block); pods.Count > 0 {
			p.reportBlock(at.in(".ipBlock.cidr"), peer.Block.CIDR, pods, "the block also contains the addresses of pods",
				"select pods by their labels, and except the pod network from the block; some implementations match no pod by ipBlock")
		}
	}),
}

// reportBlock reports a block that contains pods. The parameters message and fix are for a block with
// more than one address.
func (p *pass) reportBlock(at place, cidr policy.CIDR, pods sample.Pods, message, fix string) {
	if cidr.Prefix.IsSingleIP() {
		p.report(at, Warning, "select the pod by its labels; a new pod has another address",
			"%s is the address of pod %s", cidr.Prefix.Addr(), &pods)
		return
	}
	if f := p.find(at, Note); f != nil {
		f.Message, f.Fix = message, fix
		p.detail(f, "%s: %s", sample.PodCount(pods.Count), &pods)
	}
}
