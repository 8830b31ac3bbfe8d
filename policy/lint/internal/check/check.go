package check

import "github.com/sluicenet/sluice/policy"

// Check describes one check that lint runs on policies.
type Check struct {
	// Name identifies the check in output. It remains the same in all releases, because users
	// and programs refer to it.
	Name string
	// Severities lists the severities that a finding of the check can have. The most severe
	// severity comes first.
	Severities []Severity
	// Scopes lists the scopes on which a finding of the check can depend, the smallest first.
	// RunNamespace runs a check unless its smallest scope is ScopeCluster. RunNamespace then omits
	// those findings of the check that depend on objects of other namespaces.
	Scopes []Scope
	// ByAbsence is true if a finding of the check means that the input does not contain some object, such
	// as a pod with a label. If objects can be missing in the input, its findings are only notes.
	ByAbsence bool
	// Doc describes what the check finds. It completes the sentence "The check finds ..." in
	// docs/reference/lint.md, so it does not end with a period.
	Doc string

	// Run checks the policy of the pass. Run is nil if lint itself reports the findings of the
	// check, as it does for too-large.
	Run func(*Pass)
}

// EachRule returns a function for Check.Run that calls the function f with every rule.
func EachRule(f func(*Pass, Place, *policy.Rule)) func(*Pass) {
	return func(p *Pass) {
		for i := 0; i < len(p.Ingress) && !p.Stopped; i++ {
			f(p, InRule(IngressPart, i, &p.Ingress[i]), &p.Ingress[i])
		}
		for i := 0; i < len(p.Egress) && !p.Stopped; i++ {
			f(p, InRule(EgressPart, i, &p.Egress[i]), &p.Egress[i])
		}
	}
}

// EachPeer returns a function for Check.Run that calls the function f with every valid peer
// of every rule.
func EachPeer(f func(*Pass, Place, *policy.Peer)) func(*Pass) {
	return EachRule(func(p *Pass, at Place, r *policy.Rule) {
		for i := 0; i < len(r.Peers) && !p.Stopped; i++ {
			if !r.Peers[i].Invalid {
				f(p, at.Peer(i), &r.Peers[i])
			}
		}
	})
}

// EachPort returns a function for Check.Run that calls the function f with every port of
// every rule.
func EachPort(f func(*Pass, Place, *policy.Rule, *policy.Port)) func(*Pass) {
	return EachRule(func(p *Pass, at Place, r *policy.Rule) {
		for i := 0; i < len(r.Ports) && !p.Stopped; i++ {
			f(p, at.Port(i), r, &r.Ports[i])
		}
	})
}

// EachCIDR returns a function for Check.Run that calls the function f with the CIDR and each
// except of every block of a NetworkPolicy. It skips a block if one of its excepts covers the whole
// block.
func EachCIDR(f func(*Pass, Place, policy.CIDR)) func(*Pass) {
	return EachPeer(func(p *Pass, at Place, peer *policy.Peer) {
		if p.ClusterScoped() || peer.Block == nil || WholeExcept(peer.Block) >= 0 {
			return
		}
		f(p, at.In(".ipBlock.cidr"), peer.Block.CIDR)
		for i, except := range peer.Block.Except {
			f(p, at.Entry(".ipBlock.except", i), except)
		}
	})
}
