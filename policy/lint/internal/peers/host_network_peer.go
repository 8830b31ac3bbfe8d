package peers

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// HostNetworkPeer finds peers whose labels match only pods in the host network. Such pods use the
// addresses of their nodes, and selectors never match them.
var HostNetworkPeer = check.Check{
	Name:       "host-network-peer",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	ByAbsence:  true,
	Doc:        "a peer that selects only pods in the host network, which no selector matches",
	Run: check.EachPeer(func(p *check.Pass, at check.Place, peer *policy.Peer) {
		if pod := onlyHostPods(p, peer); pod != nil {
			p.Report(at, check.Warning, hostNetworkFix(p, at.Rule.Direction, pod),
				"the pods that this entry selects (%s) are in the host network, and selectors match only pods in the pod network: this entry %s", &peer.PodSet, p.MatchesNothing())
		}
	}),
}

// onlyHostPods returns a pod in the host network that the peer selects, if the peer selects no pod in
// the pod network. Otherwise it returns nil.
func onlyHostPods(p *check.Pass, peer *policy.Peer) *policy.Pod {
	if !isSelector(peer) || !p.Contains(peer) {
		return nil
	}
	pod := p.HostPodOf(&peer.PodSet)
	if pod == nil || check.AnyPod(p.GroupsOf(&peer.PodSet)) {
		return nil
	}
	return pod
}

func isSelector(peer *policy.Peer) bool { return peer.Block == nil && !peer.OfNodes }

// hostNetworkFix returns what to write instead of a peer that selects the given pod. In a run on one
// namespace, it contains no addresses, because these change whenever pods start or end.
func hostNetworkFix(p *check.Pass, d rule.Direction, pod *policy.Pod) string {
	switch {
	case p.ClusterScoped() && d == rule.Egress:
		return "select the nodes of these pods with a peer `nodes`, or their addresses with `networks`"
	case p.ClusterScoped():
		return "an ingress rule cannot select nodes: restrict other sources, and remove this entry"
	}
	fix := "allow the addresses of the nodes with an ipBlock"
	if addresses := addressesOf(pod); p.RunScope == check.ScopeCluster && len(addresses) > 0 {
		fix = fmt.Sprintf("allow the addresses of the nodes with an ipBlock, such as cidr: %s for pod %s/%s",
			netip.PrefixFrom(addresses[0], addresses[0].BitLen()), pod.Namespace, pod.Name)
	}
	if d == rule.Ingress {
		fix += "; connections from the pod's own node are always allowed"
	}
	return fix
}

func addressesOf(pod *policy.Pod) []netip.Addr {
	return slices.Concat(pod.Addresses, pod.HostAddresses)
}
