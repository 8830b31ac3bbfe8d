package lint

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/policy"
)

var noNamespaceMatched = Check{
	Name:       "no-namespace-matched",
	Severities: []Severity{Warning},
	Scopes:     []Scope{ScopeCluster},
	Doc:        "a `namespaceSelector` that no namespace matches",
	run: eachPeer(func(p *pass, at place, peer *policy.Peer) {
		if p.matchesNoNamespace(peer) {
			p.report(at.in(p.namespaceField(peer)), Warning, p.namespaceFix(peer),
				"no namespace has %s: this entry %s", peer.Namespaces, p.matchesNothing())
		}
	}),
}

// namespaceField returns the path of the namespace selector in a peer.
func (s *subject) namespaceField(peer *policy.Peer) string {
	switch {
	case !s.clusterScoped():
		return ".namespaceSelector"
	case peer.Pods.Present():
		return ".pods.namespaceSelector"
	default:
		return ".namespaces"
	}
}

// matchesNothing describes the effect of an entry that matches nothing. The result is a part of a
// message.
func (s *subject) matchesNothing() string {
	if s.clusterScoped() {
		return "matches nothing"
	}
	return "allows nothing"
}

// matchesNoNamespace reports whether the peer has a namespaceSelector that matches no
// namespace. If the snapshot contains no namespaces, it returns false.
func (p *pass) matchesNoNamespace(peer *policy.Peer) bool {
	return peer.Namespaces.Present() && p.objects > 0 && !p.matchesNamespace(&peer.PodSet)
}

// namespaceFix returns a fix for a namespaceSelector that no namespace matches. If the
// selector requires a label, such as name, whose value is the name of a namespace, the fix is
// to use the label kubernetes.io/metadata.name.
func (c *cluster) namespaceFix(peer *policy.Peer) string {
	fix := "label the namespace, or correct the selector"
	for _, key := range []string{"name", "namespace"} {
		if name, ok := peer.Namespaces.Equal(key); ok && c.spaces[name] != nil && c.spaces[name].object != nil {
			fix = fmt.Sprintf("select a namespace by its name with %s: %s", corev1.LabelMetadataName, name)
		}
	}
	return fix
}
