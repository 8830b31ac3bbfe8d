package reference

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
)

// clusterRule is an ingress rule or an egress rule of a ClusterNetworkPolicy. A peer of an ingress
// rule has only some of the fields of a peer of an egress rule.
type clusterRule struct {
	action    v1beta1.ClusterNetworkPolicyRuleAction
	peers     []v1beta1.ClusterNetworkPolicyEgressPeer
	protocols []v1beta1.ClusterNetworkPolicyProtocol
}

func clusterRulesOf(policy *v1beta1.ClusterNetworkPolicy, direction rule.Direction) []clusterRule {
	var rules []clusterRule
	if direction == rule.Egress {
		for _, r := range policy.Spec.Egress {
			rules = append(rules, clusterRule{r.Action, r.To, r.Protocols})
		}
		return rules
	}
	for _, r := range policy.Spec.Ingress {
		var peers []v1beta1.ClusterNetworkPolicyEgressPeer
		for _, peer := range r.From {
			peers = append(peers, v1beta1.ClusterNetworkPolicyEgressPeer{Namespaces: peer.Namespaces, Pods: peer.Pods})
		}
		rules = append(rules, clusterRule{r.Action, peers, r.Protocols})
	}
	return rules
}

// matches reports whether one of the rule's peers and one of its protocols match the flow. The
// caller must have checked the rule with the method `understood`.
func (e evaluation) matches(r clusterRule) bool {
	for _, peer := range r.peers {
		if e.peerMatches(peer) && e.protocolsMatch(r.protocols, peer.Nodes == nil) {
			return true
		}
	}
	return false
}

// peerMatches reports whether an entry of the rule's peers matches the peer of the flow (S74, S75).
// No address matches an entry with domainNames (S82).
func (e evaluation) peerMatches(entry v1beta1.ClusterNetworkPolicyEgressPeer) bool {
	switch {
	case entry.Networks != nil:
		return slices.ContainsFunc(entry.Networks, func(text v1beta1.CIDR) bool {
			return netip.MustParsePrefix(string(text)).Contains(e.peer.address)
		})
	case entry.Nodes != nil:
		return slices.ContainsFunc(e.objects.Nodes, func(node *corev1.Node) bool {
			return selectorMatches(entry.Nodes, node.Labels) && hasAddress(nodeAddresses(node), e.peer.address)
		})
	case entry.Namespaces != nil || entry.Pods != nil:
		return e.peer.pod != nil && selectsPod(e.objects, entry.Namespaces, entry.Pods, e.peer.pod)
	default:
		return false
	}
}

// selectsPod reports whether a pod matches an entry with the `namespaces` or `pods` field. If the pod's
// namespace has no Namespace object, no entry matches the pod (S27).
func selectsPod(objects cluster.Objects, namespaces *metav1.LabelSelector, pods *v1beta1.NamespacedPod, pod *corev1.Pod) bool {
	if pods != nil {
		return selectorMatches(&pods.PodSelector, pod.Labels) && selectsPod(objects, &pods.NamespaceSelector, nil, pod)
	}
	labels, ok := labelsOfNamespace(objects, namespaceOf(pod))
	return ok && selectorMatches(namespaces, labels)
}

// nodeAddresses returns the IP addresses in the status of a node (S75). It skips host names.
func nodeAddresses(node *corev1.Node) []string {
	var addresses []string
	for _, entry := range node.Status.Addresses {
		if entry.Type == corev1.NodeInternalIP || entry.Type == corev1.NodeExternalIP {
			addresses = append(addresses, entry.Address)
		}
	}
	return addresses
}

// protocolsMatch reports whether the protocols of a rule match the protocol and the port of the
// flow. A rule without protocols matches every protocol. If `named` is false, entries with
// destinationNamedPort match nothing, because the peer has no named ports (S76).
func (e evaluation) protocolsMatch(protocols []v1beta1.ClusterNetworkPolicyProtocol, named bool) bool {
	if len(protocols) == 0 {
		return true
	}
	for _, entry := range protocols {
		switch {
		case entry.DestinationNamedPort != "":
			if named && e.isNamedPort(entry.DestinationNamedPort) {
				return true
			}
		case e.flow.Protocol == protocolOf(entry) && portContains(destinationPortOf(entry), e.flow.DstPort):
			return true
		}
	}
	return false
}

// isNamedPort reports whether the flow's destination port is a port of the target with this name. A
// pod can use the same name for one port of each protocol.
func (e evaluation) isNamedPort(name string) bool {
	if e.target == nil {
		return false
	}
	for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		number := containerPort(e.target, name, protocol)
		if number != 0 && e.flow.Protocol == protocolNumber(protocol) && int32(e.flow.DstPort) == number {
			return true
		}
	}
	return false
}

// protocolOf returns the protocol of an entry that has a protocol.
func protocolOf(entry v1beta1.ClusterNetworkPolicyProtocol) flow.Protocol {
	switch {
	case entry.TCP != nil:
		return flow.TCP
	case entry.UDP != nil:
		return flow.UDP
	default:
		return flow.SCTP
	}
}

// destinationPortOf returns the ports of an entry that has a protocol. It returns nil if the entry
// has no ports.
func destinationPortOf(entry v1beta1.ClusterNetworkPolicyProtocol) *v1beta1.Port {
	switch {
	case entry.TCP != nil:
		return entry.TCP.DestinationPort
	case entry.UDP != nil:
		return entry.UDP.DestinationPort
	case entry.SCTP != nil:
		return entry.SCTP.DestinationPort
	default:
		return nil
	}
}

func portContains(port *v1beta1.Port, number uint16) bool {
	if port.Range != nil {
		return port.Range.Start <= int32(number) && int32(number) <= port.Range.End
	}
	return port.Number == int32(number)
}
