// Package rule defines the types that the policy compiler and the dataplane share: the
// rules of one node, and the decisions that result from these rules. The compiler has
// already replaced every selector, named port and default in the rules with numbers. The
// package does not depend on Kubernetes. It treats the name of a policy as an opaque
// string.
//
// The rules of a node consist of three tables: the owner of each address (Owner), the programs
// of each local pod (Pod), and the rules of each program (Program). The compiler describes
// changes of these tables as deltas (Delta). Therefore, when the labels of a pod change, the
// amount of work does not depend on the number of pods.
package rule

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Verdict states whether a flow, or one side of a flow, is allowed. The zero value is
// Deny.
type Verdict uint8

// The two verdicts.
const (
	Deny Verdict = iota
	Allow
)

// String returns the name of the verdict as it appears in output.
func (v Verdict) String() string {
	if v == Allow {
		return "Allow"
	}
	return "Deny"
}

// Direction is the direction of a flow from the point of view of a pod.
type Direction uint8

// The two directions. Egress applies to the pod that opens a connection, and Ingress to the pod
// at the destination.
const (
	Egress Direction = iota
	Ingress
)

// String returns the name of the direction in lower case, as in the spec of a policy.
func (d Direction) String() string {
	if d == Ingress {
		return "ingress"
	}
	return "egress"
}

// Tier is a group of policies. All policies of a tier are evaluated before the policies of the next
// tier. The order is defined by ClusterNetworkPolicySpec.Tier of sigs.k8s.io/network-policy-api.
type Tier uint8

// The tiers in the order of their evaluation. The numbers are part of the tree format.
const (
	// AdminTier contains the policies of the cluster administrator that are evaluated
	// before all NetworkPolicies.
	AdminTier Tier = iota
	// NetworkPolicyTier contains every NetworkPolicy.
	NetworkPolicyTier
	// BaselineTier contains the policies of the cluster administrator that apply to a pod
	// only if no NetworkPolicy isolates the pod.
	BaselineTier
	// Tiers is the number of tiers.
	Tiers = iota
)

// String returns the name of the tier, as in the spec of a ClusterNetworkPolicy.
func (t Tier) String() string {
	switch t {
	case AdminTier:
		return "Admin"
	case BaselineTier:
		return "Baseline"
	default:
		return "NetworkPolicy"
	}
}

// Reason states why a side of a flow has its verdict.
type Reason uint8

// The possible reasons.
const (
	// NoReason means that the side was not evaluated. Its verdict is Deny.
	NoReason Reason = iota
	// NotIsolated means that no NetworkPolicy isolates the pod in this direction, and that no
	// rule of another tier decided.
	NotIsolated
	// Matched means that a rule matched. The action of the rule determines the verdict.
	Matched
	// NoRuleMatched means that NetworkPolicies isolate the pod, and that none of their rules
	// matched.
	NoRuleMatched
	// SameNode means that the flow comes from the node on which the pod runs.
	SameNode
	// SamePod means that the source and the destination of the flow are the same pod, and that no
	// rule of the Admin or the Baseline tier decided. NetworkPolicies do not apply to such a flow.
	SamePod
	// External means that no pod has the address of this side, which is the source for egress
	// and the destination for ingress. So no policy applies.
	External
	// Elsewhere means that no pod of this node has the address of this side. If a pod of
	// another node has the address, the other node evaluates this side.
	Elsewhere
)

// String returns the name of the reason as it appears in output.
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

// Action is the effect of a matching rule. The rules of a NetworkPolicy always have
// ActionAccept. Only rules of a ClusterNetworkPolicy have the other actions. The zero value is not
// a valid action.
type Action uint8

// The actions. The numbers are part of the tree format.
const (
	// ActionAccept allows the flow. Later rules are ignored.
	ActionAccept Action = iota + 1
	// ActionDeny denies the flow. Later rules are ignored.
	ActionDeny
	// ActionPass continues the evaluation with the next tier. Later rules of this tier are
	// ignored.
	ActionPass
)

// String returns the name of the action, as in the spec of a ClusterNetworkPolicy.
func (a Action) String() string {
	switch a {
	case ActionAccept:
		return "Accept"
	case ActionDeny:
		return "Deny"
	case ActionPass:
		return "Pass"
	default:
		return "invalid"
	}
}

// Class identifies a set of addresses that all rules of this node treat in the same way. All
// pods of a class match the same peer selectors. For each port name that the rules use, all
// pods of a class have the same port number. Class 0 contains the addresses that no peer
// selector matches.
type Class uint32

// Ports is a protocol and an inclusive range of destination ports.
type Ports struct {
	// Protocol is an IP protocol number: 6, 17 or 132.
	Protocol uint8
	// First and Last are the first and the last port of the range. First must not be greater
	// than Last. The range 0-65535 means every port of the protocol.
	First, Last uint16
}

// String returns a short text: "TCP 80", "TCP 8000-8080" or "every TCP port".
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

// Block is a range of addresses: a CIDR prefix without the prefixes in Excepts. Every prefix in
// Excepts is inside the CIDR prefix. The host bits of all prefixes are 0. A block matches every
// address in this range, including addresses of pods and nodes. It matches no address of the
// other address family.
type Block struct {
	Prefix  netip.Prefix
	Excepts []netip.Prefix
}

// Match is a combination of ports and peers. A flow matches if both conditions are true:
//
//   - Ports contains the destination port of the flow.
//   - Any is set, or Classes contains the class of the peer, or Blocks contains the
//     address of the peer.
type Match struct {
	// Ports lists the matching ports. An empty list matches every port of every protocol, and
	// every protocol without ports.
	Ports []Ports
	// Any means that every peer matches, inside and outside the cluster.
	Any bool
	// Classes lists the classes of matching peers in ascending order. It never contains
	// class 0.
	Classes []Class
	// Blocks lists the blocks of matching addresses.
	Blocks []Block
}

// Rule is one rule of one policy. It matches a flow if at least one entry of Matches matches the
// flow.
type Rule struct {
	Action Action
	// Policy is the name of the policy: "namespace/name" for a NetworkPolicy, and the name alone
	// for a ClusterNetworkPolicy.
	Policy string
	// Index is the index of the rule in the policy's ingress or egress list, starting at
	// 0.
	Index   int
	Matches []Match
	// Fingerprint identifies the rule by its content, so that a counter can follow the rule from one
	// tree to the next (see package fingerprint). 0 means that the content is unknown.
	Fingerprint uint64
}

// ProgramID identifies a program within one node. ID 0 means that no policy of the tier applies to
// the pod.
type ProgramID uint32

// Program contains the rules of one tier for a pod in one direction. A Program is immutable: a delta
// can only replace the whole program. Pods to which the same policies of a tier apply share a
// program.
//
// The rules are in order, and the first rule that matches a flow decides. If the action of this rule
// is ActionPass, the next tier decides. If no rule matches, the next tier decides too, except in the
// NetworkPolicy tier, in which the flow is denied.
type Program struct {
	Tier Tier
	// IsolatedBy lists the names of the NetworkPolicies that isolate the pod in this direction, in
	// ascending order. It is empty if and only if Tier is not NetworkPolicyTier.
	IsolatedBy []string
	// Rules lists the rules. In the NetworkPolicy tier, no rule has ActionPass.
	Rules []Rule
}

// Denies reports whether the program can deny a flow.
func (p *Program) Denies() bool {
	return len(p.IsolatedBy) > 0 || slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.Action == ActionDeny })
}

// PodID identifies a local pod within one node. IDs start at 1.
type PodID uint32

// Pod is a pod that runs on this node.
type Pod struct {
	// Name is the name of the pod in the form "namespace/name".
	Name string
	// Ingress and Egress are the IDs of the pod's programs of the NetworkPolicy tier for these
	// directions. If an ID is 0, no NetworkPolicy isolates the pod in this direction.
	Ingress, Egress ProgramID
	// Admin and Baseline are indexed by Direction. They contain the IDs of the pod's programs of
	// these tiers.
	Admin, Baseline [2]ProgramID
}

// Program returns the ID of the pod's program for a direction and a tier.
func (p *Pod) Program(d Direction, t Tier) ProgramID {
	switch {
	case t == AdminTier:
		return p.Admin[d]
	case t == BaselineTier:
		return p.Baseline[d]
	case d == Ingress:
		return p.Ingress
	default:
		return p.Egress
	}
}

// Programs returns the IDs of all programs of the pod: first those for egress in the order of the
// tiers, then those for ingress.
func (p *Pod) Programs() (out [2 * Tiers]ProgramID) {
	for d := range Direction(2) {
		for t := range Tier(Tiers) {
			out[int(d)*Tiers+int(t)] = p.Program(d, t)
		}
	}
	return out
}

// OwnerKind classifies the owner of an address from the point of view of this node.
type OwnerKind uint8

// The kinds of owner. NoOwner is the owner of addresses to which no rule of this node refers:
// addresses outside the cluster, and addresses of remote pods that no selector matches.
const (
	NoOwner OwnerKind = iota
	// RemotePod is a pod of another node that at least one peer selector matches.
	RemotePod
	// LocalPod is a pod of this node.
	LocalPod
	// ThisNode is this node. It owns the addresses of the node itself.
	ThisNode
)

// Owner describes the owner of an address.
type Owner struct {
	Kind OwnerKind
	// Class is valid only if Kind is RemotePod or LocalPod. For a RemotePod, Class is
	// never 0.
	Class Class
	// Pod is valid only if Kind is LocalPod.
	Pod PodID
}

// AddressChange sets the owner of an address. If the new owner is NoOwner, the address is
// removed.
type AddressChange struct {
	Addr  netip.Addr
	Owner Owner
}

// PodChange adds or replaces a local pod. If Pod is nil, the pod is removed.
type PodChange struct {
	ID  PodID
	Pod *Pod
}

// ProgramChange adds or replaces a program. If Program is nil, the program is removed.
type ProgramChange struct {
	ID      ProgramID
	Program *Program
}

// Delta is a change of the rules of one node. If all deltas are applied in order, starting
// without rules, the result is the current rules. A delta contains at most one change for each
// address, pod and program. The order of the changes in a delta does not matter, because
// references are resolved only after the whole delta has been applied.
type Delta struct {
	Addresses []AddressChange
	Pods      []PodChange
	Programs  []ProgramChange
}

// Empty reports whether the delta changes nothing.
func (d Delta) Empty() bool {
	return len(d.Addresses) == 0 && len(d.Pods) == 0 && len(d.Programs) == 0
}
