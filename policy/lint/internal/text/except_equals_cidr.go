package text

import (
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// ExceptEqualsCIDR is the check except-equals-cidr.
var ExceptEqualsCIDR = check.Check{
	Name:       "except-equals-cidr",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopePolicy},
	Doc:        "an `except` entry that covers the whole `cidr`",
	Run: check.EachPeer(func(p *check.Pass, at check.Place, peer *policy.Peer) {
		if i := check.WholeExcept(peer.Block); i >= 0 {
			p.Report(at.Entry(".ipBlock.except", i), check.Warning, "narrow the except, or remove the entry",
				"the except is the whole cidr %s: this entry allows nothing", peer.Block.CIDR.Prefix)
		}
	}),
}
