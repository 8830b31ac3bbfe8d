package rule

import (
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Decision is the result of evaluating a flow: one side for each end.
type Decision struct {
	// Egress is the side of the pod that opens the flow, Ingress the side of the
	// pod that the flow is opened to.
	Egress, Ingress Side
}

// Verdict returns Allow if both sides allow the flow, otherwise Deny.
func (d Decision) Verdict() Verdict { return d.Egress.Verdict & d.Ingress.Verdict }

// Side returns the side of a direction.
func (d Decision) Side(direction Direction) Side {
	if direction == Ingress {
		return d.Ingress
	}
	return d.Egress
}

// Side is the verdict for one end of a flow and the reason for it.
type Side struct {
	Verdict Verdict
	Reason  Reason
	// Ref identifies the program and the rule that decided. Only the evaluator
	// that returned the side can resolve it.
	Ref Ref
}

// Evaluated reports whether policies of this node were evaluated for the side.
// They are not evaluated for an end that is not a pod of this node.
func (s Side) Evaluated() bool {
	switch s.Reason {
	case NoReason, External, Elsewhere:
		return false
	default:
		return true
	}
}

// Ref is an opaque reference of an evaluator to one of its programs and a rule
// in it. The zero value refers to nothing.
type Ref struct {
	Program, Rule uint32
}

// Evaluator evaluates flows. A *tree.Tree is one.
type Evaluator interface {
	// Evaluate returns the decision for the first packet of a flow. The packet
	// path calls it for each packet that enters user space, from all workers at
	// once: it must not allocate, lock or call the kernel.
	Evaluate(f flow.Flow) Decision
}

// Namer resolves the names behind the decisions of an evaluator. The sides that
// it is called with must come from that evaluator. A *tree.Tree is one.
type Namer interface {
	// Pod returns the name, "namespace/name", of the local pod that has an
	// address. ok is false if no local pod has it.
	Pod(a netip.Addr) (name string, ok bool)
	// Rule returns the rule that decided a side: its policy as "namespace/name"
	// and its index in the policy's list for the direction, from 0. ok is false
	// unless the side's reason is Matched.
	Rule(s Side) (policy string, index int, ok bool)
	// IsolatedBy returns the names of the policies that isolate the pod of a
	// side, ascending. It returns none unless the side's reason is Matched or
	// NoRuleMatched.
	IsolatedBy(s Side) []string
}

// NearMiss is a rule that would have allowed a denied flow if either its peer or
// its port had been different.
type NearMiss struct {
	// Policy is "namespace/name". Index is the rule's index in the policy's list
	// for the direction, from 0.
	Policy string
	Index  int
	// Differs is the part of the rule that the flow does not match.
	Differs Part
	// Ports are the ports at which the rule allows the flow's peer, ascending by
	// protocol and port. They are set only if Differs is PortPart.
	Ports []Ports
}

// Part is a part of a rule that a flow is compared with.
type Part uint8

// The parts of a rule.
const (
	// PeerPart is the peers that the rule names.
	PeerPart Part = iota
	// PortPart is the protocols and ports that the rule names.
	PortPart
)

// String returns the part in lower case, as it is written in JSON.
func (p Part) String() string {
	if p == PortPart {
		return "port"
	}
	return "peer"
}
