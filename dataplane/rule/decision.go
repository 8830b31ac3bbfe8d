package rule

import (
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Decision is the result of evaluating a flow. It consists of two sides, one for egress and one
// for ingress. It must not be larger than 32 bytes. The compiler does not keep larger structs
// in registers (ssa.CanSSA in cmd/compile), so an evaluation would take a quarter longer.
type Decision struct {
	// Egress is the side of the pod that opens the connection. Ingress is the side of the pod
	// at the destination.
	Egress, Ingress Side
}

// Verdict returns Allow if both sides allow the flow, and Deny otherwise.
func (d Decision) Verdict() Verdict { return d.Egress.Verdict & d.Ingress.Verdict }

// DeniedPeer returns the other end of a flow that a local pod denies: the address that does not
// belong to this pod. If the policies of no local pod deny the flow, or if the other end is also a
// local pod, ok is false. f must be the flow for which the decision was made.
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

// Side is one half of a decision: a verdict and the reason for this verdict. The egress side
// belongs to the source of the flow, and the ingress side to the destination.
type Side struct {
	Verdict Verdict
	Reason  Reason
	// Ref identifies the program and the rule that decided the verdict. If no rule decided, but a
	// rule of the Baseline tier passed the flow, Ref identifies this rule. Only the evaluator that
	// returned the side can resolve Ref and Passed.
	Ref Ref
	// Passed identifies the rule of the Admin tier that passed the flow to the next tier. It is
	// 0 if there is no such rule.
	Passed uint32
}

// Evaluated reports whether the policies of this node were evaluated for the side. It returns
// false if the source (for the egress side) or the destination (for the ingress side) is not a
// pod of this node.
func (s Side) Evaluated() bool {
	switch s.Reason {
	case NoReason, External, Elsewhere:
		return false
	default:
		return true
	}
}

// Ref is an opaque reference to a program of an evaluator and to a rule of this program. The
// zero value refers to no program.
type Ref struct {
	Program, Rule uint32
}

// Evaluator evaluates flows. *tree.Tree implements Evaluator.
type Evaluator interface {
	// Evaluate returns the decision for the first packet of a flow. All workers call Evaluate
	// concurrently for each packet that they read. So Evaluate must not allocate memory, take
	// locks or make system calls.
	Evaluate(f flow.Flow) Decision
}

// Namer returns the names of pods, policies and rules. Pass a side only to the Namer that belongs
// to the evaluator that returned the side. *tree.Tree implements both Evaluator and Namer.
type Namer interface {
	// Pod returns the name of the local pod with address a, in the form "namespace/name". If no
	// local pod has this address, ok is false.
	Pod(a netip.Addr) (name string, ok bool)
	// Rule returns the rule that decided a side. If the side's reason is not Matched, ok is false.
	Rule(s Side) (source Source, ok bool)
	// Passed returns the rules with ActionPass that passed the flow to the next tier, in the order
	// of the tiers.
	Passed(s Side) []Source
	// IsolatedBy returns the names of the NetworkPolicies that isolate the pod of a side, in
	// ascending order. If the NetworkPolicy tier did not decide the side, it returns no names.
	IsolatedBy(s Side) []string
}

// Source identifies a rule in a policy object.
type Source struct {
	Tier Tier
	// Policy is the name of the policy, as in Rule. Index is the index of the rule in the policy's
	// ingress or egress list, starting at 0.
	Policy string
	Index  int
	Action Action
}

// NearMiss is a rule that almost matches a denied flow: it matches either the port but not the
// peer, or the peer but not the port.
type NearMiss struct {
	// Source identifies the rule. Its action is ActionAccept.
	Source
	// Differs is the part of the rule that does not match the flow.
	Differs Part
	// Ports lists the ports at which the rule allows the peer of the flow, in ascending
	// order of protocol and port. It is set only if Differs is PortPart.
	Ports []Ports
}

// Part is one of the two parts of a rule: the peers or the ports. Both parts must match a flow.
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
