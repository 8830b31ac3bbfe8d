package peers

import (
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// OneFamily finds blocks with all addresses of one family in policies for pods with addresses of both
// families.
var OneFamily = check.Check{
	Name:       "one-family",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	Doc:        "an `ipBlock` 0.0.0.0/0 without ::/0, or the reverse, in a policy for pods with addresses of both families",
	Run: check.EachPeer(func(p *check.Pass, at check.Place, peer *policy.Peer) {
		if p.ClusterScoped() || !wholeFamily(peer) {
			return
		}
		if allowsOther(p, at.Rule, peer) || !selectsDualStack(p) {
			return
		}
		other := "::/0"
		if peer.Block.CIDR.Prefix.Addr().Is6() {
			other = "0.0.0.0/0"
		}
		p.Report(at.In(".ipBlock.cidr"), check.Warning, "add an entry with ipBlock: {cidr: "+other+"}, or select pods by their labels",
			"the pods have addresses of both families, and %s contains only one family: connections of the other family are not allowed", peer.Block.CIDR.Text)
	}),
}

func wholeFamily(peer *policy.Peer) bool {
	return peer.Block != nil && peer.Block.CIDR.Prefix.Bits() == 0
}

// allowsOther reports whether a rule of the direction allows addresses of the other family, or all peers.
func allowsOther(p *check.Pass, r *policy.Rule, peer *policy.Peer) bool {
	return slices.ContainsFunc(p.Rules(r.Direction), func(o policy.Rule) bool {
		if !p.Spend(10 + 5*len(o.Peers)) {
			return true
		}
		return o.MatchesAll() || slices.ContainsFunc(o.Peers, func(q policy.Peer) bool {
			return wholeFamily(&q) && q.Block.CIDR.Prefix.Addr().Is4() != peer.Block.CIDR.Prefix.Addr().Is4()
		})
	})
}

// selectsDualStack reports whether the policy selects a pod with addresses of both families.
func selectsDualStack(p *check.Pass) bool {
	for g := range p.Selected() {
		for _, pod := range g.Pods {
			if p.Spend(10) && slices.ContainsFunc(pod.Addresses, netip.Addr.Is4) && slices.ContainsFunc(pod.Addresses, netip.Addr.Is6) {
				return true
			}
		}
	}
	return false
}
