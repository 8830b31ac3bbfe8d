package lint

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// Check is one thing that lint looks for.
type Check struct {
	// Name is stable. Users and programs refer to the check by it.
	Name string
	// Severities lists the possible severities of a finding, most severe first.
	Severities []Severity
	// Doc describes what the check finds, for the table in docs/commands.md.
	Doc string

	run func(*pass)
}

// checks is the table of checks. Findings in the same place are reported in its
// order.
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
	noNamespaceObject,
}

// Checks returns all checks.
func Checks() []Check { return slices.Clone(checks) }

// pass is one run of one check on all policies.
type pass struct {
	*cluster
	check    string
	findings []Finding
}

// place is a field of a policy.
type place struct {
	*subject
	field string
	order position
}

// position is the place of a field in a policy: the part of the spec, the rule
// and the entry of the rule.
type position struct{ part, rule, entry int }

// The parts of a policy, in the order of its findings.
const (
	wholePart = iota
	subjectPart
	typesPart
	ingressPart
	egressPart
	endPart
)

// peerEntry and portEntry are the positions of the first peer and the first
// port of a rule.
const (
	peerEntry = 1
	portEntry = 1 << 16
)

func (p position) compare(q position) int {
	return slices.Compare([]int{p.part, p.rule, p.entry}, []int{q.part, q.rule, q.entry})
}

// at returns a place outside the rules of a policy.
func (s *subject) at(field string, part int) place {
	return place{subject: s, field: field, order: position{part: part}}
}

// in returns the place of a field within this place.
func (at place) in(format string, args ...any) place {
	at.field += fmt.Sprintf(format, args...)
	return at
}

// report adds a finding. fix may be empty.
func (p *pass) report(at place, severity Severity, fix, format string, args ...any) {
	p.findings = append(p.findings, Finding{
		Severity: severity, Check: p.check, Policy: at.name, Namespace: at.Scope,
		Field: at.field, Message: fmt.Sprintf(format, args...), Fix: fix, order: at.order,
	})
}

// eachPolicy returns a check that runs f on every policy.
func eachPolicy(f func(*pass, *subject)) func(*pass) {
	return func(p *pass) {
		for _, s := range p.subjects {
			f(p, s)
		}
	}
}

// eachRule returns a check that runs f on every rule of every policy.
func eachRule(f func(*pass, place, *policy.Rule)) func(*pass) {
	return eachPolicy(func(p *pass, s *subject) {
		for _, d := range []rule.Direction{rule.Ingress, rule.Egress} {
			part := egressPart
			if d == rule.Ingress {
				part = ingressPart
			}
			for i := range s.Rules(d) {
				r := &s.Rules(d)[i]
				f(p, place{subject: s, field: r.Field, order: position{part: part, rule: i}}, r)
			}
		}
	})
}

// eachPeer returns a check that runs f on every valid peer of every rule.
func eachPeer(f func(*pass, place, *policy.Peer)) func(*pass) {
	return eachRule(func(p *pass, at place, r *policy.Rule) {
		for i := range r.Peers {
			if !r.Peers[i].Invalid {
				f(p, at.peer(r, i), &r.Peers[i])
			}
		}
	})
}

// eachPort returns a check that runs f on every port of every rule.
func eachPort(f func(*pass, place, *policy.Rule, *policy.Port)) func(*pass) {
	return eachRule(func(p *pass, at place, r *policy.Rule) {
		for i := range r.Ports {
			at := at
			at.field, at.order.entry = r.PortField(i), portEntry+i
			f(p, at, r, &r.Ports[i])
		}
	})
}

// peer returns the place of a peer of the rule at this place.
func (at place) peer(r *policy.Rule, i int) place {
	at.field, at.order.entry = r.PeerField(i), peerEntry+i
	return at
}

// eachCIDR returns a check that runs f on every CIDR of every block: the
// block's own and its excepts.
func eachCIDR(f func(*pass, place, policy.CIDR)) func(*pass) {
	return eachPeer(func(p *pass, at place, peer *policy.Peer) {
		if peer.Block == nil || wholeExcept(peer.Block) >= 0 {
			return
		}
		f(p, at.in(".ipBlock.cidr"), peer.Block.CIDR)
		for i, except := range peer.Block.Except {
			f(p, at.in(".ipBlock.except[%d]", i), except)
		}
	})
}
