package check

import (
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// MatchesNothing describes the effect of an entry that matches nothing. The result is a part of a
// message.
func (s *Policy) MatchesNothing() string {
	if s.ClusterScoped() {
		return "matches nothing"
	}
	return "allows nothing"
}

// MatchesNoNamespace reports whether the peer has a namespaceSelector that matches no
// namespace. If the snapshot contains no namespaces, it returns false.
func (p *Pass) MatchesNoNamespace(peer *policy.Peer) bool {
	return peer.Namespaces.Present() && p.NamespaceObjects > 0 && !p.matchesNamespace(&peer.PodSet)
}

// NamespaceWith returns a namespace that contains at least one pod that matches the selector.
// If no such namespace exists or if the selector is empty, NamespaceWith returns "".
func (p *Pass) NamespaceWith(selector label.Selector) string {
	if selector.Empty() {
		return ""
	}
	for _, s := range p.WithPods {
		for _, g := range s.Groups {
			if p.Matches(selector, g) {
				return s.Name
			}
		}
	}
	return ""
}
