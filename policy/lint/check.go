package lint

import (
	"slices"

	"github.com/sluicenet/sluice/policy"
)

// Check describes one check that lint runs on policies.
type Check struct {
	// Name identifies the check in output. It remains the same in all releases, because users
	// and programs refer to it.
	Name string
	// Severities lists the severities that a finding of the check can have. The most severe
	// severity comes first.
	Severities []Severity
	// Scopes lists the scopes on which a finding of the check can depend, the smallest first.
	// RunNamespace omits checks whose smallest scope is ScopeCluster. If a check has further
	// scopes, RunNamespace reports only the findings that the smaller scopes determine.
	Scopes []Scope
	// Doc describes what the check finds. The table in docs/commands.md contains this
	// description.
	Doc string

	// run checks the policy of the pass. It is nil for findings that lint itself reports, such
	// as too-large.
	run func(*pass)
}

// checks lists all checks. If several checks have findings for the same place in a policy,
// the findings are reported in the order of this list.
var checks = []Check{
	notUnderstood,
	noPodSelected,
	deadRules,
	ruleAllowsAll,
	noNamespaceMatched,
	noPeerMatched,
	twoDashes,
	exceptEqualsCIDR,
	leadingZeros,
	hostBits,
	blockOfPod,
	noSuchPort,
	portOfSome,
	noDNS,
	samePriority,
	shadowedRule,
	baselineUnreached,
	denyOfDNS,
	networkOfPods,
	everyPodQueued,
	noNamespaceObject,
	tooLarge,
	checkFailed,
}

// Checks returns all checks.
func Checks() []Check { return slices.Clone(checks) }

// eachRule returns a function for Check.run that calls the function f with every rule.
func eachRule(f func(*pass, place, *policy.Rule)) func(*pass) {
	return func(p *pass) {
		for i := 0; i < len(p.Ingress) && !p.stopped; i++ {
			f(p, inRule(ingressPart, i, &p.Ingress[i]), &p.Ingress[i])
		}
		for i := 0; i < len(p.Egress) && !p.stopped; i++ {
			f(p, inRule(egressPart, i, &p.Egress[i]), &p.Egress[i])
		}
	}
}

// eachPeer returns a function for Check.run that calls the function f with every valid peer
// of every rule.
func eachPeer(f func(*pass, place, *policy.Peer)) func(*pass) {
	return eachRule(func(p *pass, at place, r *policy.Rule) {
		for i := 0; i < len(r.Peers) && !p.stopped; i++ {
			if !r.Peers[i].Invalid {
				f(p, at.peer(i), &r.Peers[i])
			}
		}
	})
}

// eachPort returns a function for Check.run that calls the function f with every port of
// every rule.
func eachPort(f func(*pass, place, *policy.Rule, *policy.Port)) func(*pass) {
	return eachRule(func(p *pass, at place, r *policy.Rule) {
		for i := 0; i < len(r.Ports) && !p.stopped; i++ {
			f(p, at.port(i), r, &r.Ports[i])
		}
	})
}

// eachCIDR returns a function for Check.run that calls the function f with the CIDR and each
// except of every block of a NetworkPolicy. It skips a block if one of its excepts covers the whole
// block.
func eachCIDR(f func(*pass, place, policy.CIDR)) func(*pass) {
	return eachPeer(func(p *pass, at place, peer *policy.Peer) {
		if p.clusterScoped() || peer.Block == nil || wholeExcept(peer.Block) >= 0 {
			return
		}
		f(p, at.in(".ipBlock.cidr"), peer.Block.CIDR)
		for i, except := range peer.Block.Except {
			f(p, at.entry(".ipBlock.except", i), except)
		}
	})
}
