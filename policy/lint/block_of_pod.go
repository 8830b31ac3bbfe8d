package lint

import "github.com/sluicenet/sluice/policy"

var blockOfPod = Check{
	Name:       "block-of-pod",
	Severities: []Severity{Warning, Note},
	Doc:        "an `ipBlock` that is the address of a pod; a note if it is a larger block that contains pods",
	run: eachPeer(func(p *pass, at place, peer *policy.Peer) {
		if peer.Block == nil || wholeExcept(peer.Block) >= 0 {
			return
		}
		at = at.in(".ipBlock.cidr")
		switch pods := p.podsInBlock(peer.Block); {
		case len(pods) == 0:
		case peer.Block.CIDR.Prefix.IsSingleIP():
			p.report(at, Warning, "select the pod by its labels; a new pod has another address",
				"%s is the address of pod %s", peer.Block.CIDR.Prefix.Addr(), list(pods))
		default:
			p.report(at, Note, "select pods by their labels, and except the pod network from the block; some implementations match no pod by ipBlock",
				"the block also contains the addresses of %s: %s", number(len(pods), "pod"), list(pods))
		}
	}),
}
