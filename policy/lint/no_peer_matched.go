package lint

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

var noPeerMatched = Check{
	Name:       "no-peer-matched",
	Severities: []Severity{Warning, Note},
	Scopes:     []Scope{ScopeNamespace, ScopeCluster},
	Doc:        "a peer that no pod matches; a note if the peer selects all pods of namespaces that have no pods",
	run: eachPeer(func(p *pass, at place, peer *policy.Peer) {
		byNamespaces := peer.Namespaces.Present()
		if !p.podsKnown || !p.contains(peer) || !peer.Pods.Present() || byNamespaces && p.objects == 0 ||
			anyPod(p.groupsOf(&peer.PodSet)) || p.matchesNoNamespace(peer) {
			return
		}
		severity := Warning
		if peer.Pods.Empty() {
			severity = Note
		}
		if f := p.find(at, severity); f != nil {
			f.Message, f.Fix = unmatched(peer)+": this entry "+p.matchesNothing(), p.peerFix(peer)
		}
	}),
}

// unmatched describes a peer that no pod matches.
func unmatched(peer *policy.Peer) string {
	where := "in namespace " + peer.Namespace
	if peer.Namespaces.Present() {
		where = "in the matching namespaces"
	}
	if peer.Pods.Empty() {
		return "there is no pod " + where
	}
	return fmt.Sprintf("no pod %s has %s", where, peer.Pods)
}

// peerFix returns a fix for a peer that matches no pod. If the peer has no namespaceSelector,
// and its podSelector matches pods in another namespace, the fix is to add a
// namespaceSelector.
func (p *pass) peerFix(peer *policy.Peer) string {
	namespace := p.namespaceWith(peer.Pods)
	if peer.Namespaces.Present() || namespace == "" {
		return "correct the selector, or remove the entry"
	}
	return fmt.Sprintf("a podSelector alone selects pods of the policy's own namespace; pods in namespace %s match: add namespaceSelector: {matchLabels: {%s: %s}} to the same entry",
		namespace, corev1.LabelMetadataName, namespace)
}

// namespaceWith returns a namespace that contains at least one pod that matches the selector.
// If no such namespace exists or if the selector is empty, namespaceWith returns "".
func (p *pass) namespaceWith(selector label.Selector) string {
	if selector.Empty() {
		return ""
	}
	for _, s := range p.withPods {
		for _, g := range s.groups {
			if p.matches(selector, g) {
				return s.name
			}
		}
	}
	return ""
}
