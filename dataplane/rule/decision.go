package rule

import (
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Decision is the result of evaluating a flow. It consists of an egress side and an
// ingress side.
type Decision struct {
	// Egress is the side of the pod that opens the flow. Ingress is the side of the pod at
	// the destination.
	Egress, Ingress Side
}

// Verdict returns Allow if both sides allow the flow, and Deny otherwise.
func (d Decision) Verdict() Verdict { return d.Egress.Verdict & d.Ingress.Verdict }

// DeniedPeer returns the end of a flow that is not a pod of this node, if the policies of
// the pod at the other end deny the flow. Otherwise ok is false. f must be the flow of the
// decision.
func (d Decision) DeniedPeer(f flow.Flow) (peer netip.Addr, ok bool) {
	switch {
	case d.Egress.Verdict == Deny && !d.Ingress.Evaluated():
		return f.Dst, true
	case d.Ingress.Verdict == Deny && !d.Egress.Evaluated():
		return f.Src, true
	}
	return netip.Addr{}, false
}

// Side returns the egress side or the ingress side.
func (d Decision) Side(direction Direction) Side {
	if direction == Ingress {
		return d.Ingress
	}
	return d.Egress
}

// Side is the verdict for one end of a flow, and the reason for this verdict. The end is
// the source of the flow for the egress side, and the destination for the ingress side.
type Side struct {
	Verdict Verdict
	Reason  Reason
	// Ref identifies the program and the rule that decided. Only the evaluator that
	// returned the side can resolve Ref.
	Ref Ref
}

// Evaluated reports whether the policies of this node were evaluated for the side. It
// returns false if this end of the flow is not a pod of this node.
func (s Side) Evaluated() bool {
	switch s.Reason {
	case NoReason, External, Elsewhere:
		return false
	default:
		return true
	}
}

// Ref is an opaque reference to a program of an evaluator and to a rule of this program.
// The zero value refers to nothing.
type Ref struct {
	Program, Rule uint32
}

// Evaluator evaluates flows. *tree.Tree implements Evaluator.
type Evaluator interface {
	// Evaluate returns the decision for the first packet of a flow. All workers call
	// Evaluate concurrently, once for each packet that enters user space. So Evaluate must
	// not allocate memory, take locks or make system calls.
	Evaluate(f flow.Flow) Decision
}

// Namer returns the names of pods, and the names of the policies and rules to which the
// sides of decisions refer. Each side that is passed to a Namer must come from the
// evaluator that belongs to this Namer. *tree.Tree implements both interfaces.
type Namer interface {
	// Pod returns the name of the local pod with address a, in the form "namespace/name".
	// ok is false if no local pod has this address.
	Pod(a netip.Addr) (name string, ok bool)
	// Rule returns the rule that decided a side. policy is the policy's name in the form
	// "namespace/name". index is the index of the rule in the policy's ingress or egress
	// list, starting at 0. ok is true only if the side's reason is Matched.
	Rule(s Side) (policy string, index int, ok bool)
	// IsolatedBy returns the names of the policies that isolate the pod of a side, in
	// ascending order. It returns no names unless the side's reason is Matched or
	// NoRuleMatched.
	IsolatedBy(s Side) []string
}

// NearMiss is a rule that allows nearly the same traffic as a denied flow: the rule
// matches either the port but not the peer, or the peer but not the port.
type NearMiss struct {
	// Policy is the policy's name in the form "namespace/name". Index is the index of the
	// rule in the policy's ingress or egress list, starting at 0.
	Policy string
	Index  int
	// Differs is the part of the rule that does not match the flow.
	Differs Part
	// Ports lists the ports at which the rule allows the peer of the flow, in ascending
	// order of protocol and port. It is set only if Differs is PortPart.
	Ports []Ports
}

// Part is one of the two parts of a rule that must match a flow.
type Part uint8

// The parts of a rule.
const (
	// PeerPart is the part with the peers of the rule.
	PeerPart Part = iota
	// PortPart is the part with the protocols and ports of the rule.
	PortPart
)

// String returns the name of the part in lower case, as it appears in JSON.
func (p Part) String() string {
	if p == PortPart {
		return "port"
	}
	return "peer"
}
