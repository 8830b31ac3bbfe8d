// Package rule is the language between those who know what a policy means and
// those who judge packets: the rules of one node, with every selector, named
// port and default already worked out into numbers. It knows no Kubernetes;
// a rule's name is a string that it carries through.
//
// A node's rules are three tables: who owns an address (Owner), which programs
// judge a local pod (Pod), and what a program says (Program). They travel as
// changes (Delta), so that one pod's new label costs one pod's work.
package rule

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Verdict is the answer for a flow or for one direction of it. The zero value
// refuses.
type Verdict uint8

// The two verdicts.
const (
	Deny Verdict = iota
	Allow
)

// String gives the verdict as it stands in output.
func (v Verdict) String() string {
	if v == Allow {
		return "Allow"
	}
	return "Deny"
}

// Direction is a flow seen from a pod.
type Direction uint8

// The directions: Egress is the side of the pod that opens a flow, Ingress
// that of the pod it is opened to.
const (
	Egress Direction = iota
	Ingress
)

// String gives the direction in lower case, as it stands in a policy's spec.
func (d Direction) String() string {
	if d == Ingress {
		return "ingress"
	}
	return "egress"
}

// Reason says why one side of a flow got its verdict.
type Reason uint8

// The reasons. The zero value is no reason and goes with Deny.
const (
	// NoReason: the side was not judged.
	NoReason Reason = iota
	// NotIsolated: no policy isolates the pod in this direction.
	NotIsolated
	// Matched: a rule matched, and its action is the verdict.
	Matched
	// NoRuleMatched: the pod is isolated and no rule of its policies matched.
	NoRuleMatched
	// SameNode: the flow comes from the pod's own node.
	SameNode
	// SamePod: both ends are one pod.
	SamePod
	// External: the end is no pod, so no policy judges this side.
	External
	// Elsewhere: the end is not a pod of the node this tree was compiled for.
	// If it is a pod at all, its own node judges this side.
	Elsewhere
)

// String gives the reason as it stands in output.
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
// ClusterNetworkPolicy. The zero value means that there is no rule.
type Action uint8

// The actions, with the numbers that a tree stores.
const (
	// ActionNone means that there is no rule.
	ActionNone Action = iota
	// ActionAccept allows the flow. No later rule is considered.
	ActionAccept
	// ActionDeny denies the flow. No later rule is considered.
	ActionDeny
	// ActionPass continues with the next tier. There are no tiers yet, so a
	// builder rejects it.
	ActionPass
)

// Class numbers the addresses that no rule of this node can tell apart: the
// same peer selectors match them and the port names in use resolve alike.
// Class 0 is everybody whom no peer selector matches.
type Class uint32

// Ports is one protocol and an inclusive range of destination ports.
type Ports struct {
	// Protocol is an IP protocol number: 6, 17 or 132.
	Protocol uint8
	// First <= Last. A range from 0 to 65535 is every port of the protocol.
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

// Block is a CIDR without its excepts. Excepts lie inside Prefix. Both are
// masked. A block matches every address inside it, whoever owns it, and never
// an address of the other family.
type Block struct {
	Prefix  netip.Prefix
	Excepts []netip.Prefix
}

// Match is one product of ports and peers: it matches a flow whose port is in
// Ports and whose peer is named by Any, Classes or Blocks.
type Match struct {
	// Ports, when empty, is every protocol and port, also those without ports.
	Ports []Ports
	// Any is every peer, in or outside the cluster.
	Any bool
	// Classes are the matching peer classes, ascending, none of them 0.
	Classes []Class
	// Blocks are the matching address blocks.
	Blocks []Block
}

// Rule is one rule of one policy. It applies when any of its matches does.
type Rule struct {
	Action Action
	// Policy is the policy's name as users know it: "namespace/name".
	Policy string
	// Index is the rule's place in the policy's list for the direction, from 0.
	Index   int
	Matches []Match
}

// ProgramID numbers a program within one node. 0 is no program: not isolated.
type ProgramID uint32

// Program is everything that judges a pod in one direction. It is immutable:
// a program that changes is sent again whole.
type Program struct {
	// IsolatedBy names the policies that isolate the pod in this direction,
	// ascending. Never empty.
	IsolatedBy []string
	// Rules in order: the first that matches decides.
	Rules []Rule
}

// PodID numbers a local pod within one node, from 1.
type PodID uint32

// Pod is a pod of this node.
type Pod struct {
	// Name is "namespace/name".
	Name string
	// Ingress and Egress are its programs.
	Ingress, Egress ProgramID
}

// OwnerKind says what an address is to this node.
type OwnerKind uint8

// The kinds of owner. The zero value is an address that no rule of this node
// needs to know: outside, or a pod that no selector sees.
const (
	NoOwner OwnerKind = iota
	// RemotePod is a pod of another node that some peer selector matches.
	RemotePod
	// LocalPod is a pod of this node.
	LocalPod
	// ThisNode is an address of the node itself.
	ThisNode
)

// Owner says who has an address.
type Owner struct {
	Kind OwnerKind
	// Class is valid iff Kind is RemotePod (then never 0) or LocalPod.
	Class Class
	// Pod is valid iff Kind is LocalPod.
	Pod PodID
}

// AddressChange gives an address a new owner, or none.
type AddressChange struct {
	Addr  netip.Addr
	Owner Owner
}

// PodChange sets a local pod, or takes it away when Pod is nil.
type PodChange struct {
	ID  PodID
	Pod *Pod
}

// ProgramChange sets a program, or takes it away when Program is nil.
type ProgramChange struct {
	ID      ProgramID
	Program *Program
}

// Delta is what changed in one node's rules since the delta before. Applied in
// order to nothing, deltas give the node's rules. Within one delta a key comes
// at most once and order does not matter: a reference is judged by the state
// after the whole delta.
type Delta struct {
	Addresses []AddressChange
	Pods      []PodChange
	Programs  []ProgramChange
}

// Empty reports whether the delta changes nothing.
func (d Delta) Empty() bool {
	return len(d.Addresses) == 0 && len(d.Pods) == 0 && len(d.Programs) == 0
}
