package lint

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// Check describes one check that lint runs on all policies.
type Check struct {
	// Name identifies the check in output. It remains the same in all releases, because users
	// and programs refer to it.
	Name string
	// Severities lists the severities that a finding of the check can have. The most severe
	// severity comes first.
	Severities []Severity
	// Doc describes what the check finds. The table in docs/commands.md contains this
	// description.
	Doc string

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
	noNamespaceObject,
}

// Checks returns all checks.
func Checks() []Check { return slices.Clone(checks) }

// pass is one run of a check on all policies of a cluster.
type pass struct {
	*cluster
	check    string
	findings []Finding
}

// place is the policy field to which a finding refers.
type place struct {
	*subject
	field string
	order position
}

// position determines the order of a policy's findings. The field part is the part of the
// policy, such as subjectPart. The field rule is the index of the rule. The field entry is
// the position of a peer or port in the rule.
type position struct{ part, rule, entry int }

// The parts of a policy, in the order in which findings are reported.
const (
	wholePart = iota
	subjectPart
	typesPart
	ingressPart
	egressPart
	endPart
)

// peerEntry is the value of position.entry for the first peer of a rule, and portEntry is the
// value for the first port. With these values, all ports sort after all peers.
const (
	peerEntry = 1
	portEntry = 1 << 16
)

func (p position) compare(q position) int {
	return slices.Compare([]int{p.part, p.rule, p.entry}, []int{q.part, q.rule, q.entry})
}

// at returns the place of a field that is not in a rule. The parameter part is the part of
// the policy that contains the field.
func (s *subject) at(field string, part int) place {
	return place{subject: s, field: field, order: position{part: part}}
}

// in returns the place of a field that is nested in the receiver's field. It appends the
// formatted text to the path of the receiver's field.
func (at place) in(format string, args ...any) place {
	at.field += fmt.Sprintf(format, args...)
	return at
}

// report adds a finding for a place. The parameters format and args contain the message. If
// the message already contains the fix, the parameter fix is empty.
func (p *pass) report(at place, severity Severity, fix, format string, args ...any) {
	p.findings = append(p.findings, Finding{
		Severity: severity, Check: p.check, Policy: at.name, Namespace: at.Scope,
		Field: at.field, Message: fmt.Sprintf(format, args...), Fix: fix, order: at.order,
	})
}

// eachPolicy returns a function for Check.run that calls the function f with every policy.
func eachPolicy(f func(*pass, *subject)) func(*pass) {
	return func(p *pass) {
		for _, s := range p.subjects {
			f(p, s)
		}
	}
}

// eachRule returns a function for Check.run that calls the function f with every rule of
// every policy.
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

// eachPeer returns a function for Check.run that calls the function f with every valid peer
// of every rule.
func eachPeer(f func(*pass, place, *policy.Peer)) func(*pass) {
	return eachRule(func(p *pass, at place, r *policy.Rule) {
		for i := range r.Peers {
			if !r.Peers[i].Invalid {
				f(p, at.peer(r, i), &r.Peers[i])
			}
		}
	})
}

// eachPort returns a function for Check.run that calls the function f with every port of
// every rule.
func eachPort(f func(*pass, place, *policy.Rule, *policy.Port)) func(*pass) {
	return eachRule(func(p *pass, at place, r *policy.Rule) {
		for i := range r.Ports {
			at := at
			at.field, at.order.entry = r.PortField(i), portEntry+i
			f(p, at, r, &r.Ports[i])
		}
	})
}

// peer returns the place of the peer with index i in a rule. The receiver must be the place of
// this rule.
func (at place) peer(r *policy.Rule, i int) place {
	at.field, at.order.entry = r.PeerField(i), peerEntry+i
	return at
}

// eachCIDR returns a function for Check.run that calls the function f with the CIDR and each
// except of every block. It skips a block if one of its excepts covers the whole block.
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
