package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/label"
)

// Policy is the parsed form of a policy object, such as a NetworkPolicy. It states which pods
// the policy selects, for which directions the policy isolates these pods, and which
// connections its rules allow. All defaults are filled in. A function of package read
// creates a Policy. Other code must not change the Policy, except that a Snapshot updates the
// fields UID and Generation.
type Policy struct {
	// Name is the name of the policy object. Scope is the object's namespace, or "" for a
	// ClusterNetworkPolicy.
	Name, Scope string
	// UID and Generation are the metadata.uid and the metadata.generation of the object. They
	// identify a version of the policy and do not affect verdicts.
	UID        string
	Generation int64
	// Tier and Priority define the order of policies. Policies with equal tier and priority
	// are ordered by scope and name.
	Tier     rule.Tier
	Priority int32
	// Subject is the set of pods to which the policy applies. A NetworkPolicy selects only pods in
	// its own namespace, so Subject.Namespace is set.
	Subject PodSet
	// Isolates is indexed by rule.Direction. An element is true if the policy isolates the
	// pods in Subject for this direction. A ClusterNetworkPolicy isolates no pods.
	Isolates [2]bool
	// Ingress and Egress contain the rules in the same order as the object, including invalid
	// rules. If a NetworkPolicy does not isolate pods for a direction, its rules for this
	// direction have no effect.
	Ingress, Egress []Rule
	// Errors lists the first 100 parts of the object that cannot be understood.
	Errors FieldErrors
}

// Rule is one rule of a policy.
type Rule struct {
	// Tier is the tier of the policy.
	Tier      rule.Tier
	Direction rule.Direction
	Action    rule.Action
	// Name is the name of the rule. Only rules of a ClusterNetworkPolicy can have one.
	Name string
	// Invalid is true if a part of the rule cannot be understood. An invalid rule matches
	// nothing, even if its other parts are valid.
	Invalid bool
	// Field is the path of the rule in the object, such as spec.ingress[0].
	Field string
	// Peers lists the sources that an ingress rule matches, or the destinations that an egress
	// rule matches. If the list is empty, the rule matches all sources or destinations inside
	// and outside the cluster.
	Peers []Peer
	// Ports lists the destination ports that the rule matches. If the list is empty, the rule
	// matches all ports of all protocols.
	Ports []Port
}

// PodSet selects pods by namespace and by labels.
type PodSet struct {
	// If Namespace is not empty, the set contains only pods in this namespace.
	Namespace string
	// Namespaces selects namespaces by the labels of their Namespace objects. It does not
	// select namespaces without a Namespace object. If Namespace is not empty, Namespaces is
	// ignored.
	Namespaces label.Selector
	// Pods selects pods by their labels.
	Pods label.Selector
}

// Peer is one entry of the list `from` or `to` of a rule, or a part of an entry. It is a set of
// pods, a block of addresses or a set of nodes.
type Peer struct {
	// Entry is the index of the entry in the list.
	Entry int
	PodSet
	// If Block is not nil, the peer is this block, and the set of pods is ignored.
	Block *Block
	// If OfNodes is set, the peer consists of nodes, and the set of pods is ignored. The peer then
	// contains all addresses of each node whose labels match Nodes.
	OfNodes bool
	Nodes   label.Selector
	// Invalid is true if a part of the entry cannot be understood. An invalid peer matches
	// nothing.
	Invalid bool
}

// Block is an ipBlock. It contains the addresses that are in CIDR but not in any of the CIDRs
// in Except.
type Block struct {
	CIDR   CIDR
	Except []CIDR
}

// CIDR is a CIDR in a policy, in parsed form and as text.
type CIDR struct {
	// Prefix is the parsed CIDR with the host bits cleared.
	Prefix netip.Prefix
	// Text is the CIDR as it is written in the object. Text can contain host bits and leading
	// zeros.
	Text string
}

// Port is one entry of the list `ports` or `protocols` of a rule, or a part of an entry. It is
// either a range of port numbers or a port name. Each destination pod resolves a port name to one
// of its own container ports.
type Port struct {
	// Entry is the index of the entry in the list.
	Entry    int
	Protocol flow.Protocol
	// If Name is not empty, it is the name of a container port, and First and Last are 0.
	Name string
	// First and Last are the first and the last port of the range. The range from 0 to
	// 65535 means every port of the protocol.
	First, Last uint16
}

// End describes one end of a connection. Peer.Matches reports whether a peer matches an End.
type End struct {
	Address netip.Addr
	// Pod is the pod that owns the address, or nil if the address does not belong to a pod.
	Pod *Pod
	// Namespace is the Namespace object of the pod's namespace, or nil if no such object
	// exists.
	Namespace *Namespace
	// Node is the node to which the address belongs according to its Node object, or nil if
	// there is no such node.
	Node *Node
}

// Rules returns the rules of a direction.
func (p *Policy) Rules(d rule.Direction) []Rule {
	if d == rule.Ingress {
		return p.Ingress
	}
	return p.Egress
}

// UsesNamespaces reports whether the subject or any rule selects namespaces by their labels.
func (p *Policy) UsesNamespaces() bool {
	return p.Subject.Namespaces.Present() || p.hasPeer(func(p Peer) bool { return p.Namespaces.Present() })
}

// UsesNodes reports whether any rule selects nodes.
func (p *Policy) UsesNodes() bool {
	return p.hasPeer(func(p Peer) bool { return p.OfNodes })
}

// hasPeer reports whether the function f returns true for a peer of any rule.
func (p *Policy) hasPeer(f func(Peer) bool) bool {
	inRule := func(r Rule) bool { return slices.ContainsFunc(r.Peers, f) }
	return slices.ContainsFunc(p.Ingress, inRule) || slices.ContainsFunc(p.Egress, inRule)
}

// Selects reports whether the policy applies to a pod. The `namespace` parameter is the Namespace
// object of the pod's namespace, or nil if no such object exists. For a NetworkPolicy, the
// parameter is ignored. A policy can select a pod that has no address yet. A policy never selects
// finished pods or pods in the host network.
func (p *Policy) Selects(pod *Pod, namespace *Namespace) bool {
	return pod.selectable() && p.Subject.matches(pod.Namespace, namespace, pod.Labels)
}

// Affects reports whether the policy can affect the pods in Subject for a direction. A NetworkPolicy
// affects the directions for which it isolates pods, and a ClusterNetworkPolicy affects the
// directions for which it has rules.
func (p *Policy) Affects(d rule.Direction) bool {
	if p.Tier == rule.NetworkPolicyTier {
		return p.Isolates[d]
	}
	return len(p.Rules(d)) > 0
}

// SelectsCohort reports whether the policy applies to the pods in a cohort.
func (p *Policy) SelectsCohort(c *Cohort) bool {
	return p.Subject.matches(c.ns.name, c.subjectNamespace(), c.key.labels)
}

// selectable reports whether a selector can match the pod. It returns false for finished pods
// and for pods in the host network.
func (p *Pod) selectable() bool { return !p.HostNetwork && !p.Finished }

// PeerField returns the path of a peer, such as spec.ingress[0].from[1].
func (r *Rule) PeerField(i int) string {
	list := "to"
	if r.Direction == rule.Ingress {
		list = "from"
	}
	return fmt.Sprintf("%s.%s[%d]", r.Field, list, r.Peers[i].Entry)
}

// PortField returns the path of a port, such as spec.ingress[0].ports[1].
func (r *Rule) PortField(i int) string {
	list := "ports"
	if r.Tier != rule.NetworkPolicyTier {
		list = "protocols"
	}
	return fmt.Sprintf("%s.%s[%d]", r.Field, list, r.Ports[i].Entry)
}

// Matches reports whether the rule matches the peer of a connection, regardless of the port.
// An invalid rule matches no peer.
func (r *Rule) Matches(peer *End) bool {
	return !r.Invalid && (len(r.Peers) == 0 || slices.ContainsFunc(r.Peers, func(p Peer) bool { return p.Matches(peer) }))
}

// Matches reports whether the peer matches the end of a connection.
func (p *Peer) Matches(e *End) bool {
	switch {
	case p.Invalid:
		return false
	case p.Block != nil:
		return p.Block.Contains(e.Address)
	case p.OfNodes:
		return e.Node != nil && p.Nodes.Matches(e.Node.Labels)
	default:
		return e.Pod != nil && e.Pod.selectable() && p.matches(e.Pod.Namespace, e.Namespace, e.Pod.Labels)
	}
}

// MatchesNamespace reports whether the set can contain pods in a namespace. If the namespace
// has no Namespace object, the `object` parameter is nil.
func (s *PodSet) MatchesNamespace(name string, object *Namespace) bool {
	if s.Namespace != "" {
		return s.Namespace == name
	}
	return object != nil && s.Namespaces.Matches(object.Labels)
}

// matches reports whether the set contains pods in the namespace that have the given labels.
func (s *PodSet) matches(namespace string, object *Namespace, l label.Set) bool {
	return s.MatchesNamespace(namespace, object) && s.Pods.Matches(l)
}

// Contains reports whether an address is in the CIDR of the block but in none of its excepts.
func (b *Block) Contains(a netip.Addr) bool {
	return b.CIDR.Prefix.Contains(a) && !slices.ContainsFunc(b.Except, func(c CIDR) bool { return c.Prefix.Contains(a) })
}

// Equal reports whether two versions of a policy have the same effect.
func (p *Policy) Equal(q *Policy) bool {
	return p.Tier == q.Tier && p.Priority == q.Priority && p.Subject == q.Subject && p.Isolates == q.Isolates &&
		slices.EqualFunc(p.Ingress, q.Ingress, Rule.Equal) && slices.EqualFunc(p.Egress, q.Egress, Rule.Equal) &&
		slices.Equal(p.Errors, q.Errors)
}

// Equal reports whether two rules have the same content, regardless of their positions.
func (r Rule) Equal(o Rule) bool {
	return r.Action == o.Action && r.Invalid == o.Invalid && r.Name == o.Name && slices.EqualFunc(r.Peers, o.Peers, Peer.equal) && slices.Equal(r.Ports, o.Ports)
}

func (p Peer) equal(q Peer) bool {
	if p.Block == nil || q.Block == nil {
		return p == q
	}
	return p.Entry == q.Entry && p.Invalid == q.Invalid && p.Block.CIDR == q.Block.CIDR && slices.Equal(p.Block.Except, q.Block.Except)
}

// Key returns a string that identifies the addresses in the block. Two blocks have the same
// key if and only if their CIDRs and excepts have equal prefixes.
func (b *Block) Key() string {
	var out strings.Builder
	out.WriteString(b.CIDR.Prefix.String())
	for _, e := range b.Except {
		out.WriteString(" " + e.Prefix.String())
	}
	return out.String()
}

// MatchesAll reports whether the rule restricts neither its peers nor its ports.
func (r *Rule) MatchesAll() bool { return len(r.Peers) == 0 && len(r.Ports) == 0 }

// Contains reports whether the range of ports contains a number. An entry with a port name has no
// range.
func (p Port) Contains(number uint16) bool {
	return p.Name == "" && p.First <= number && number <= p.Last
}

// EveryPort reports whether the entry matches every port of its protocol.
func (p Port) EveryPort() bool { return p.Name == "" && p.First == 0 && p.Last == 65535 }
