package peers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// NoPeerMatched is the check no-peer-matched.
var NoPeerMatched = check.Check{
	Name:       "no-peer-matched",
	Severities: []check.Severity{check.Warning, check.Note},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	ByAbsence:  true,
	Doc:        "a peer that no pod matches. If the peer selects all pods of namespaces that have no pods, the severity is `note`",
	Run: check.EachPeer(func(p *check.Pass, at check.Place, peer *policy.Peer) {
		byNamespaces := peer.Namespaces.Present()
		if !p.PodsKnown || !p.Contains(peer) || !peer.Pods.Present() || byNamespaces && p.NamespaceObjects == 0 ||
			check.AnyPod(p.GroupsOf(&peer.PodSet)) || p.MatchesNoNamespace(peer) || p.HostPodOf(&peer.PodSet) != nil || p.FinishedPodOf(&peer.PodSet) != nil {
			return
		}
		severity := check.Warning
		if peer.Pods.Empty() {
			severity = check.Note
		}
		if f := p.Find(at, severity); f != nil {
			f.Message, f.Fix = unmatched(peer)+": this entry "+p.MatchesNothing(), peerFix(p, peer)
		}
	}),
}

// The function `unmatched` describes a peer that no pod matches.
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
func peerFix(p *check.Pass, peer *policy.Peer) string {
	namespace := p.NamespaceWith(peer.Pods)
	if peer.Namespaces.Present() || namespace == "" {
		return "correct the selector, or remove the entry"
	}
	return fmt.Sprintf("a podSelector alone selects pods of the policy's own namespace; pods in namespace %s match: add namespaceSelector: {matchLabels: {%s: %s}} to the same entry",
		namespace, corev1.LabelMetadataName, namespace)
}
