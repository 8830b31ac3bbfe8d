package lint

import (
	"slices"

	"github.com/sluicenet/sluice/policy"
)

var exceptEqualsCIDR = Check{
	Name:       "except-equals-cidr",
	Severities: []Severity{Warning},
	Scopes:     []Scope{ScopePolicy},
	Doc:        "an except that covers its whole cidr",
	run: eachPeer(func(p *pass, at place, peer *policy.Peer) {
		if i := wholeExcept(peer.Block); i >= 0 {
			p.report(at.entry(".ipBlock.except", i), Warning, "narrow the except, or remove the entry",
				"the except is the whole cidr %s: this entry allows nothing", peer.Block.CIDR.Prefix)
		}
	}),
}

// wholeExcept returns the index of an except that covers the whole block, or -1 if no except
// does. The other checks for blocks skip a block with such an except.
func wholeExcept(b *policy.Block) int {
	if b == nil {
		return -1
	}
	return slices.IndexFunc(b.Except, func(c policy.CIDR) bool { return c.Prefix == b.CIDR.Prefix })
}
