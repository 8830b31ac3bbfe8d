package policy

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/label"
)

// These limits keep the text of a rule short. If a list is longer than its limit, the text
// ends with the number of omitted entries.
const (
	maxPeersInText   = 4
	maxPortsInText   = 6
	maxExceptsInText = 5
)

// String returns the namespace and name of the policy in the format "namespace/name". For a
// ClusterNetworkPolicy, it returns only the name.
func (p *Policy) String() string {
	if p.Scope == "" {
		return p.Name
	}
	return p.Scope + "/" + p.Name
}

// String describes the rule in one line, such as "ingress[0] from pods role=frontend in
// namespace default on TCP 6379".
func (r *Rule) String() string { return r.text(r.Peers, "") }

// StringFor describes the rule for a connection whose peer is the given end. It lists only those
// peers of the rule that match this end. If no peer matches, it lists all peers.
func (r *Rule) StringFor(end *End) string {
	var matching []Peer
	for _, p := range r.Peers {
		if p.Matches(end) {
			matching = append(matching, p)
		}
	}
	if len(matching) == 0 || len(matching) == len(r.Peers) {
		return r.String()
	}
	return r.text(matching, fmt.Sprintf(" (of %d peers)", len(r.Peers)))
}

func (r *Rule) text(peers []Peer, suffix string) string {
	preposition := " to "
	if r.Direction == rule.Ingress {
		preposition = " from "
	}
	return strings.TrimPrefix(r.Field, "spec.") + preposition + peersText(peers) + suffix + " on " + portsText(r.Ports)
}

func peersText(peers []Peer) string {
	if len(peers) == 0 {
		return "anywhere"
	}
	var parts []string
	for i := range peers[:min(len(peers), maxPeersInText)] {
		parts = append(parts, peers[i].String())
	}
	if more := len(peers) - maxPeersInText; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, " or ")
}

// String describes the peer, such as "pods app=web in namespace shop" or "10.0.0.0/8 except
// 10.1.0.0/16".
func (p *Peer) String() string {
	switch {
	case p.Invalid:
		return "an invalid peer"
	case p.Block != nil:
		return p.Block.String()
	case p.OfNodes && p.Nodes.Empty():
		return "all nodes"
	case p.OfNodes:
		return "nodes " + p.Nodes.String()
	default:
		return p.PodSet.String()
	}
}

// String describes the set, such as "pods app=web in namespace shop".
func (s *PodSet) String() string {
	pods := "all pods"
	if !s.Pods.Empty() {
		pods = "pods " + s.Pods.String()
	}
	return pods + " in " + s.namespacesText()
}

func (s *PodSet) namespacesText() string {
	if s.Namespace != "" {
		return "namespace " + s.Namespace
	}
	if s.Namespaces.Empty() {
		return "all namespaces"
	}
	if name, ok := only(s.Namespaces, corev1.LabelMetadataName); ok {
		return "namespace " + name
	}
	return "namespaces " + s.Namespaces.String()
}

// If the only requirement of the selector is a single value for the label, `only` returns this
// value. For any other selector, ok is false.
func only(s label.Selector, name string) (value string, ok bool) {
	requirements := slices.Collect(s.Requirements())
	value, ok = s.Equal(name)
	return value, ok && len(requirements) == 1
}

// String returns the CIDR and the excepts as written in the object.
func (b *Block) String() string {
	if len(b.Except) == 0 {
		return b.CIDR.Text
	}
	var excepts []string
	for _, e := range b.Except[:min(len(b.Except), maxExceptsInText)] {
		excepts = append(excepts, e.Text)
	}
	out := b.CIDR.Text + " except " + strings.Join(excepts, ", ")
	if more := len(b.Except) - maxExceptsInText; more > 0 {
		out = fmt.Sprintf("%s and %d more", out, more)
	}
	return out
}

func portsText(ports []Port) string {
	if len(ports) == 0 {
		return "every port"
	}
	var parts []string
	for _, p := range ports[:min(len(ports), maxPortsInText)] {
		parts = append(parts, p.String())
	}
	if more := len(ports) - maxPortsInText; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, " or ")
}

// String describes the entry with its protocol, such as "TCP 80", "UDP dns" or "every SCTP
// port".
func (p Port) String() string {
	switch {
	case p.Name != "":
		return fmt.Sprintf("%s %s", p.Protocol, p.Name)
	case p.EveryPort():
		return fmt.Sprintf("every %s port", p.Protocol)
	case p.First == p.Last:
		return fmt.Sprintf("%s %d", p.Protocol, p.First)
	default:
		return fmt.Sprintf("%s %d-%d", p.Protocol, p.First, p.Last)
	}
}
