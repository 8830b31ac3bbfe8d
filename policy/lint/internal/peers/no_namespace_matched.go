package peers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// NoNamespaceMatched is the check no-namespace-matched.
var NoNamespaceMatched = check.Check{
	Name:       "no-namespace-matched",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopeCluster},
	ByAbsence:  true,
	Doc:        "a `namespaceSelector` that no namespace matches",
	Run: check.EachPeer(func(p *check.Pass, at check.Place, peer *policy.Peer) {
		if p.MatchesNoNamespace(peer) {
			p.Report(at.In(namespaceField(p.Policy, peer)), check.Warning, namespaceFix(p.Cluster, peer),
				"no namespace has %s: this entry %s", peer.Namespaces, p.MatchesNothing())
		}
	}),
}

// namespaceField returns the path of the namespace selector in a peer.
func namespaceField(s *check.Policy, peer *policy.Peer) string {
	switch {
	case !s.ClusterScoped():
		return ".namespaceSelector"
	case peer.Pods.Present():
		return ".pods.namespaceSelector"
	default:
		return ".namespaces"
	}
}

// namespaceFix returns a fix for a namespaceSelector that no namespace matches. The selector may
// require a label such as `name`, with the name of a namespace as the value. In this case, the fix
// is to use the label kubernetes.io/metadata.name.
func namespaceFix(c *check.Cluster, peer *policy.Peer) string {
	fix := "label the namespace, or correct the selector"
	for _, key := range []string{"name", "namespace"} {
		if name, ok := peer.Namespaces.Equal(key); ok && c.Namespaces[name] != nil && c.Namespaces[name].Object != nil {
			fix = fmt.Sprintf("select a namespace by its name with %s: %s", corev1.LabelMetadataName, name)
		}
	}
	return fix
}
