package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// Policy is the model of a policy: which pods it selects, in which directions it
// isolates them, and what its rules allow. Defaults are filled in. It is the
// result of a reader such as ReadNetworkPolicy, and must not be changed.
type Policy struct {
	// Name is the name of the object, Scope its namespace.
	Name, Scope string
	// Tier and Priority order policies. Policies of one tier and priority are
	// ordered by scope and name.
	Tier     Tier
	Priority int32
	// Subject is the set of pods that the policy applies to. Its Namespace is set,
	// because a NetworkPolicy selects pods of its own namespace only.
	Subject PodSet
	// Isolates reports, by rule.Direction, whether the policy isolates its
	// subjects in that direction.
	Isolates [2]bool
	// Ingress and Egress are the rules in the order of the object, including
	// invalid rules. The rules of a direction that is not isolated have no
	// effect.
	Ingress, Egress []Rule
	// Errors lists the parts of the object that cannot be understood.
	Errors FieldErrors
}

// Tier is a group of policies. Tiers are evaluated one after the other.
type Tier uint8

// The tiers, in the order of their evaluation.
const (
	// AdminTier has policies of the cluster administrator that come first.
	AdminTier Tier = iota
	// NetworkPolicyTier has every NetworkPolicy.
	NetworkPolicyTier
	// BaselineTier has policies of the cluster administrator that apply only if no
	// NetworkPolicy isolates the pod.
	BaselineTier
)

// Rule is one rule of a policy.
type Rule struct {
	Direction rule.Direction
	Action    rule.Action
	// Invalid reports that a part of the rule cannot be understood. An invalid
	// rule allows nothing, even if its other parts are valid.
	Invalid bool
	// Field is the path of the rule in the object, such as spec.ingress[0].
	Field string
	// Peers are the other ends that the rule matches. An empty list means every
	// peer, in the cluster and outside.
	Peers []Peer
	// Ports are the destination ports that the rule matches. An empty list means
	// every protocol and every port.
	Ports []Port
}

// PodSet selects pods by namespace and by labels.
type PodSet struct {
	// Namespace, if set, is the only namespace whose pods are in the set.
	Namespace string
	// Namespaces, if Namespace is empty, selects namespaces by the labels of
	// their Namespace objects. A namespace without an object is not selected.
	Namespaces Selector
	// Pods selects pods by their labels.
	Pods Selector
}

// Peer is one entry of a rule's from or to: a set of pods, or a block of
// addresses.
type Peer struct {
	PodSet
	// Block, if not nil, is the peer instead of the set of pods.
	Block *Block
	// Invalid reports that a part of the entry cannot be understood. An invalid
	// peer matches nothing.
	Invalid bool
}

// Block is an ipBlock: a CIDR without the CIDRs in Except, which are parts of it.
type Block struct {
	CIDR   CIDR
	Except []CIDR
}

// CIDR is a CIDR in a policy.
type CIDR struct {
	// Prefix is masked.
	Prefix netip.Prefix
	// Text is the CIDR as written in the object. It may have host bits and
	// leading zeros.
	Text string
}

// Port is one entry of a rule's ports: a range of port numbers, or a name. Each
// target resolves the name to one of its container ports.
type Port struct {
	Protocol flow.Protocol
	// Name, if set, is the name of a container port. First and Last are 0 then.
	Name string
	// First and Last are the inclusive range. The range from 0 to 65535 is every
	// port of the protocol.
	First, Last uint16
}

// End is one end of a connection, for Peer.Matches.
type End struct {
	Address netip.Addr
	// Pod is the pod that has the address, nil if there is none.
	Pod *Pod
	// Namespace is the Namespace object of the pod's namespace, nil if there is
	// none.
	Namespace *Namespace
}

// Rules returns the rules of one direction.
func (p *Policy) Rules(d rule.Direction) []Rule {
	if d == rule.Ingress {
		return p.Ingress
	}
	return p.Egress
}

// UsesNamespaces reports whether a rule selects namespaces by their labels.
func (p *Policy) UsesNamespaces() bool {
	for _, rules := range [...][]Rule{p.Ingress, p.Egress} {
		for i := range rules {
			if slices.ContainsFunc(rules[i].Peers, func(p Peer) bool { return p.Namespaces.Present() }) {
				return true
			}
		}
	}
	return false
}

// Selects reports whether the policy applies to a pod. A pod without an address
// is selected too. Pods in the host network and finished pods are never
// selected.
func (p *Policy) Selects(pod *Pod) bool {
	return pod.selectable() && p.Subject.matches(pod.Namespace, nil, pod.Labels)
}

// SelectsCohort reports whether the policy applies to the pods of a cohort.
func (p *Policy) SelectsCohort(c *Cohort) bool {
	return p.Subject.matches(c.ns.name, c.ns.object, c.key.labels)
}

// selectable reports whether a selector can match the pod: the pod is in the
// pod network and has not finished.
func (p *Pod) selectable() bool { return !p.HostNetwork && !p.Finished }

// PeerField returns the path of a peer, such as spec.ingress[0].from[1].
func (r *Rule) PeerField(i int) string {
	list := "to"
	if r.Direction == rule.Ingress {
		list = "from"
	}
	return fmt.Sprintf("%s.%s[%d]", r.Field, list, i)
}

// PortField returns the path of a port, such as spec.ingress[0].ports[1].
func (r *Rule) PortField(i int) string { return fmt.Sprintf("%s.ports[%d]", r.Field, i) }

// Matches reports whether the rule matches a peer. It does not consider ports.
func (r *Rule) Matches(peer *End) bool {
	return !r.Invalid && (len(r.Peers) == 0 || slices.ContainsFunc(r.Peers, func(p Peer) bool { return p.Matches(peer) }))
}

// Matches reports whether the peer matches an end of a connection.
func (p *Peer) Matches(e *End) bool {
	switch {
	case p.Invalid:
		return false
	case p.Block != nil:
		return p.Block.Contains(e.Address)
	default:
		return e.Pod != nil && e.Pod.selectable() && p.matches(e.Pod.Namespace, e.Namespace, e.Pod.Labels)
	}
}

// MatchesNamespace reports whether pods of a namespace can be in the set. The
// object is nil if there is no Namespace object.
func (s *PodSet) MatchesNamespace(name string, object *Namespace) bool {
	if s.Namespace != "" {
		return s.Namespace == name
	}
	return object != nil && s.Namespaces.Matches(object.Labels)
}

// matches reports whether pods with the given labels in a namespace are in the set.
func (s *PodSet) matches(namespace string, object *Namespace, l Labels) bool {
	return s.MatchesNamespace(namespace, object) && s.Pods.Matches(l)
}

// Contains reports whether an address is in the block and in none of its
// excepts.
func (b *Block) Contains(a netip.Addr) bool {
	return b.CIDR.Prefix.Contains(a) && !slices.ContainsFunc(b.Except, func(c CIDR) bool { return c.Prefix.Contains(a) })
}

// equal reports whether two states of a policy mean the same.
func (p *Policy) equal(q *Policy) bool {
	return p.Tier == q.Tier && p.Priority == q.Priority && p.Subject == q.Subject && p.Isolates == q.Isolates &&
		slices.EqualFunc(p.Ingress, q.Ingress, Rule.equal) && slices.EqualFunc(p.Egress, q.Egress, Rule.equal) &&
		slices.Equal(p.Errors, q.Errors)
}

func (r Rule) equal(o Rule) bool {
	return r.Action == o.Action && r.Invalid == o.Invalid && slices.EqualFunc(r.Peers, o.Peers, Peer.equal) && slices.Equal(r.Ports, o.Ports)
}

func (p Peer) equal(q Peer) bool {
	if p.Block == nil || q.Block == nil {
		return p == q
	}
	return p.Invalid == q.Invalid && p.Block.CIDR == q.Block.CIDR && slices.Equal(p.Block.Except, q.Block.Except)
}

// Key returns a text that is equal for blocks with equal prefixes.
func (b *Block) Key() string {
	var out strings.Builder
	out.WriteString(b.CIDR.Prefix.String())
	for _, e := range b.Except {
		out.WriteString(" " + e.Prefix.String())
	}
	return out.String()
}

// EveryPort reports whether the entry is every port of its protocol.
func (p Port) EveryPort() bool { return p.Name == "" && p.First == 0 && p.Last == 65535 }
