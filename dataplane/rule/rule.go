// Package rule defines the types that the policy compiler and the dataplane share:
// the rules of one node, in which every selector, named port and default is already
// resolved to numbers, and the decisions that follow from them. The package does not
// depend on Kubernetes. The name of a policy is a string that it passes on.
//
// The rules of a node are three tables: the owner of each address (Owner), the
// programs of each local pod (Pod), and the rules of each program (Program). They are
// passed on as changes (Delta), so that the work for a changed label of one pod does
// not depend on the number of pods.
package rule

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Verdict is whether a flow, or one side of it, is allowed. The zero value is Deny.
type Verdict uint8

// The two verdicts.
const (
	Deny Verdict = iota
	Allow
)

// String returns the verdict as it is written in output.
func (v Verdict) String() string {
	if v == Allow {
		return "Allow"
	}
	return "Deny"
}

// Direction is the direction of a flow from the point of view of a pod.
type Direction uint8

// The directions: Egress for the pod that opens a flow, Ingress for the pod that it
// is opened to.
const (
	Egress Direction = iota
	Ingress
)

// String returns the direction in lower case, as in the spec of a policy.
func (d Direction) String() string {
	if d == Ingress {
		return "ingress"
	}
	return "egress"
}

// Reason is why a side of a flow has its verdict.
type Reason uint8

// The reasons.
const (
	// NoReason means that the side was not evaluated. Its verdict is Deny.
	NoReason Reason = iota
	// NotIsolated means that no policy isolates the pod in this direction.
	NotIsolated
	// Matched means that a rule matched. The verdict follows from its action.
	Matched
	// NoRuleMatched means that the pod is isolated and no rule of its policies
	// matched.
	NoRuleMatched
	// SameNode means that the flow comes from the pod's own node.
	SameNode
	// SamePod means that both ends are the same pod.
	SamePod
	// External means that the end is not a pod, so no policy applies to it.
	External
	// Elsewhere means that the end is not a pod of the node that the tree was
	// compiled for. If it is a pod of another node, that node evaluates this side.
	Elsewhere
)

// String returns the reason as it is written in output.
func (r Reason) String() string {
	switch r {
	case NotIsolated:
		return "NotIsolated"
	case Matched:
		return "Rule"
	case NoRuleMatched:
		return "NoRuleMatched"
	case SameNode:
		return "SameNode"
	case SamePod:
		return "SamePod"
	case External:
		return "External"
	case Elsewhere:
		return "Elsewhere"
	default:
		return "NoReason"
	}
}

// Action is what a matching rule does with a flow. The rules of a NetworkPolicy
// only accept. The other actions are for the ordered tiers of a
// ClusterNetworkPolicy. The zero value is no action.
type Action uint8

// The actions, with the numbers that a tree stores.
const (
	// ActionAccept allows the flow. No later rule is considered.
	ActionAccept Action = iota + 1
	// ActionDeny denies the flow. No later rule is considered.
	ActionDeny
	// ActionPass continues with the next tier. There are no tiers yet, so a
	// builder rejects it.
	ActionPass
)

// Class is the number of a set of addresses that are equal for all rules of this
// node: the same peer selectors match their pods, and the port names in use resolve
// to the same ports. Class 0 has the addresses that no peer selector matches.
type Class uint32

// Ports is one protocol and an inclusive range of destination ports.
type Ports struct {
	// Protocol is an IP protocol number: 6, 17 or 132.
	Protocol uint8
	// First and Last are the ends of the range, First <= Last. The range from 0 to
	// 65535 is every port of the protocol.
	First, Last uint16
}

// String returns the ports in short: "TCP 80", "TCP 8000-8080" or "every TCP
// port".
func (p Ports) String() string {
	protocol := flow.Protocol(p.Protocol)
	switch {
	case p.First == 0 && p.Last == 65535:
		return fmt.Sprintf("every %s port", protocol)
	case p.First == p.Last:
		return fmt.Sprintf("%s %d", protocol, p.First)
	default:
		return fmt.Sprintf("%s %d-%d", protocol, p.First, p.Last)
	}
}

// Block is a CIDR prefix without its excepts. The excepts are inside the prefix, and
// all are masked. A block matches every address inside it, no matter what owns the
// address, and no address of the other family.
type Block struct {
	Prefix  netip.Prefix
	Excepts []netip.Prefix
}

// Match is a combination of ports and peers. It matches a flow if Ports contains the
// flow's port, and if Any is set or Classes or Blocks contains the flow's peer.
type Match struct {
	// Ports are the matching ports. If it is empty, every port of every protocol
	// matches, including protocols without ports.
	Ports []Ports
	// Any matches every peer, inside and outside the cluster.
	Any bool
	// Classes are the matching peer classes, ascending, without class 0.
	Classes []Class
	// Blocks are the matching address blocks.
	Blocks []Block
}

// Rule is one rule of one policy. It matches if any of its matches does.
type Rule struct {
	Action Action
	// Policy is the policy's name as users write it: "namespace/name".
	Policy string
	// Index is the rule's index in the policy's list for the direction, from 0.
	Index   int
	Matches []Match
}

// ProgramID identifies a program within one node. 0 is no program: the pod is not
// isolated.
type ProgramID uint32

// Program has all rules for a pod in one direction. It is immutable: a program that
// changes is replaced as a whole.
type Program struct {
	// IsolatedBy has the names of the policies that isolate the pod in this
	// direction, ascending. It is never empty.
	IsolatedBy []string
	// Rules are the rules in order. The first one that matches decides.
	Rules []Rule
}

// PodID identifies a local pod within one node, from 1.
type PodID uint32

// Pod is a pod of this node.
type Pod struct {
	// Name is "namespace/name".
	Name string
	// Ingress and Egress are the programs of the pod.
	Ingress, Egress ProgramID
}

// OwnerKind is the kind of an address, from the point of view of this node.
type OwnerKind uint8

// The kinds of owner. NoOwner is for addresses that no rule of this node refers to:
// addresses outside the cluster, and pods of other nodes that no selector matches.
const (
	NoOwner OwnerKind = iota
	// RemotePod is a pod of another node that at least one peer selector matches.
	RemotePod
	// LocalPod is a pod of this node.
	LocalPod
	// ThisNode is an address of the node itself.
	ThisNode
)

// Owner is the owner of an address.
type Owner struct {
	Kind OwnerKind
	// Class is valid only if Kind is RemotePod or LocalPod. It is not 0 for a RemotePod.
	Class Class
	// Pod is valid only if Kind is LocalPod.
	Pod PodID
}

// AddressChange sets the owner of an address, or removes it with NoOwner.
type AddressChange struct {
	Addr  netip.Addr
	Owner Owner
}

// PodChange sets a local pod, or removes it if Pod is nil.
type PodChange struct {
	ID  PodID
	Pod *Pod
}

// ProgramChange sets a program, or removes it if Program is nil.
type ProgramChange struct {
	ID      ProgramID
	Program *Program
}

// Delta is a change of the rules of one node. All deltas since the beginning, applied
// in order, result in the current rules. Within one delta, each key occurs at most
// once and the order does not matter: a reference is resolved after the whole delta
// has been applied.
type Delta struct {
	Addresses []AddressChange
	Pods      []PodChange
	Programs  []ProgramChange
}

// Empty reports whether the delta changes nothing.
func (d Delta) Empty() bool {
	return len(d.Addresses) == 0 && len(d.Pods) == 0 && len(d.Programs) == 0
}
