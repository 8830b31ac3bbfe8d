package check

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/policy"
)

// Place is the policy field to which a finding refers. The path of the field is converted to
// text only for a finding, because a policy can have a hundred thousand places.
type Place struct {
	order position
	// Rule is the rule that contains the field, or nil if no rule contains it.
	Rule *policy.Rule
	// field is the path of the field. If a rule contains the field, the path is relative to
	// the rule, or to the peer or port that order.entry identifies.
	field string
	// item is the index of an entry in the list `field`. If the place is the field itself, item is
	// -1.
	item int
}

// position determines the order of a policy's findings. The `part` field is the part of the policy,
// such as SubjectPart. The `rule` field is the index of the rule. The `entry` field is the position
// of a peer or port in the rule.
type position struct{ part, rule, entry int }

// These are the parts of a policy, in the order in which findings are reported.
const (
	WholePart = iota
	SubjectPart
	TypesPart
	IngressPart
	EgressPart
	EndPart
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

// Outside returns the place of a field that is not in a rule. The `part` parameter is the part of
// the policy that contains the field.
func Outside(field string, part int) Place {
	return Place{field: field, item: -1, order: position{part: part}}
}

// InRule returns the place of a rule. The `part` parameter is IngressPart or EgressPart.
func InRule(part, index int, r *policy.Rule) Place {
	return Place{Rule: r, item: -1, order: position{part: part, rule: index}}
}

// Peer returns the place of the peer with index i in a rule. The receiver must be the place of
// this rule.
func (at Place) Peer(i int) Place {
	at.order.entry = peerEntry + i
	return at
}

// Port returns the place of the port with index i in a rule. The receiver must be the place of
// this rule.
func (at Place) Port(i int) Place {
	at.order.entry = portEntry + i
	return at
}

// RuleIndex returns the index of the rule that contains the field. The index counts only rules of
// the same direction.
func (at Place) RuleIndex() int { return at.order.rule }

// In returns the place of a field of a peer or port, such as .ipBlock.cidr.
func (at Place) In(field string) Place {
	at.field = field
	return at
}

// Entry returns the place of an entry in a list of a peer, such as .ipBlock.except.
func (at Place) Entry(list string, i int) Place {
	at.field, at.item = list, i
	return at
}

// String returns the path of the field, such as spec.ingress[0].from[1].ipBlock.except[2].
func (at Place) String() string {
	path := at.field
	switch entry := at.order.entry; {
	case at.Rule == nil:
	case entry >= portEntry:
		path = at.Rule.PortField(entry-portEntry) + path
	case entry >= peerEntry:
		path = at.Rule.PeerField(entry-peerEntry) + path
	default:
		path = at.Rule.Field + path
	}
	if at.item >= 0 {
		path += fmt.Sprintf("[%d]", at.item)
	}
	return path
}
