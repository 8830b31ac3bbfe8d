package lint

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/policy"
)

// place is the policy field to which a finding refers. The path of the field is converted to
// text only for a finding, because a policy can have a hundred thousand places.
type place struct {
	order position
	// rule is the rule that contains the field, or nil if no rule contains it.
	rule *policy.Rule
	// field is the path of the field. If a rule contains the field, the path is relative to
	// the rule, or to the peer or port that order.entry identifies.
	field string
	// item is the index of an entry in the list field, or -1 for the field itself.
	item int
}

// position determines the order of a policy's findings. The field part is the part of the
// policy, such as subjectPart. The `rule` field is the index of the rule. The `entry` field is
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
	portEntry = 1 << 32
)

func (p position) compare(q position) int {
	return slices.Compare([]int{p.part, p.rule, p.entry}, []int{q.part, q.rule, q.entry})
}

// outside returns the place of a field that is not in a rule. The `part` parameter is the part of
// the policy that contains the field.
func outside(field string, part int) place {
	return place{field: field, item: -1, order: position{part: part}}
}

// inRule returns the place of a rule. The `part` parameter is ingressPart or egressPart.
func inRule(part, index int, r *policy.Rule) place {
	return place{rule: r, item: -1, order: position{part: part, rule: index}}
}

// peer returns the place of the peer with index i in a rule. The receiver must be the place of
// this rule.
func (at place) peer(i int) place {
	at.order.entry = peerEntry + i
	return at
}

// port returns the place of the port with index i in a rule. The receiver must be the place of
// this rule.
func (at place) port(i int) place {
	at.order.entry = portEntry + i
	return at
}

// in returns the place of a field of a peer or port, such as .ipBlock.cidr.
func (at place) in(field string) place {
	at.field = field
	return at
}

// entry returns the place of an entry in a list of a peer, such as .ipBlock.except.
func (at place) entry(list string, i int) place {
	at.field, at.item = list, i
	return at
}

// String returns the path of the field, such as spec.ingress[0].from[1].ipBlock.except[2].
func (at place) String() string {
	path := at.field
	switch entry := at.order.entry; {
	case at.rule == nil:
	case entry >= portEntry:
		path = at.rule.PortField(entry-portEntry) + path
	case entry >= peerEntry:
		path = at.rule.PeerField(entry-peerEntry) + path
	default:
		path = at.rule.Field + path
	}
	if at.item >= 0 {
		path += fmt.Sprintf("[%d]", at.item)
	}
	return path
}
