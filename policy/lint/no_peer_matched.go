package lint

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

var noPeerMatched = Check{
	Name:       "no-peer-matched",
	Severities: []Severity{Warning, Note},
	Doc:        "a peer that no pod matches; a note if the peer selects all pods of namespaces that have no pods",
	run: eachPeer(func(p *pass, at place, peer *policy.Peer) {
		byNamespaces := peer.Namespaces.Present()
		if !p.anyPod || !peer.Pods.Present() || byNamespaces && len(p.namespaces) == 0 ||
			p.matchesNoNamespace(peer) || len(p.podsOf(&peer.PodSet)) > 0 {
			return
		}
		where := "in the matching namespaces"
		if !byNamespaces {
			where = "in namespace " + peer.Namespace
		}
		severity, what := Warning, fmt.Sprintf("no pod %s has %s", where, peer.Pods)
		if peer.Pods.Empty() {
			severity, what = Note, "there is no pod "+where
		}
		p.report(at, severity, p.peerFix(peer), "%s: this entry allows nothing", what)
	}),
}

// peerFix returns a fix for a peer that matches no pod. If the peer has no namespaceSelector,
// and its podSelector matches pods in another namespace, the fix is to add a
// namespaceSelector.
func (c *cluster) peerFix(peer *policy.Peer) string {
	namespace := c.namespaceWith(peer.Pods)
	if peer.Namespaces.Present() || namespace == "" {
		return "correct the selector, or remove the entry"
	}
	return fmt.Sprintf("a podSelector alone selects pods of the policy's own namespace; pods in namespace %s match: add namespaceSelector: {matchLabels: {%s: %s}} to the same entry",
		namespace, corev1.LabelMetadataName, namespace)
}

// namespaceWith returns a namespace that contains at least one pod that matches the selector.
// If no such namespace exists or if the selector is empty, namespaceWith returns "".
func (c *cluster) namespaceWith(selector label.Selector) string {
	if selector.Empty() {
		return ""
	}
	for namespace, pods := range c.podsByNamespace() {
		if slices.ContainsFunc(pods, func(p *policy.Pod) bool { return selector.Matches(p.Labels) }) {
			return namespace
		}
	}
	return ""
}
