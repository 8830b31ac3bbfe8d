package cluster

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"
)

var invalidNetworks = []v1beta1.CIDR{"10.0.0.1", "10.0.0.1/29", "010.0.0.0/8", "10.0.0.0/33", "::ffff:10.0.0.0/104", "not a network"}

func invalidClusterProtocols() []clusterProtocol {
	tcp := func(port *v1beta1.Port) *v1beta1.ClusterNetworkPolicyProtocolTCP {
		return &v1beta1.ClusterNetworkPolicyProtocolTCP{DestinationPort: port}
	}
	ports := func(start, end int32) *v1beta1.PortRange { return &v1beta1.PortRange{Start: start, End: end} }
	return []clusterProtocol{
		{}, // An agent that does not support the field of an entry reads the entry as empty.
		{TCP: tcp(nil)},
		{TCP: tcp(&v1beta1.Port{})},
		{TCP: tcp(&v1beta1.Port{Number: 65536})},
		{TCP: tcp(&v1beta1.Port{Number: -1})},
		{TCP: tcp(&v1beta1.Port{Number: 80, Range: ports(80, 81)})},
		{TCP: tcp(&v1beta1.Port{Range: ports(81, 80)})},
		{TCP: tcp(&v1beta1.Port{Range: ports(0, 80)})},
		{TCP: tcp(&v1beta1.Port{Range: ports(80, 65536)})},
		{TCP: tcp(&v1beta1.Port{Number: 80}), DestinationNamedPort: "http"},
		{DestinationNamedPort: "HTTP"},
		{DestinationNamedPort: "80"},
		{TCP: tcp(&v1beta1.Port{Number: 80}), UDP: &v1beta1.ClusterNetworkPolicyProtocolUDP{DestinationPort: &v1beta1.Port{Number: 80}}},
	}
}

// invalidateClusterPolicy adds an invalid or unsupported part to one rule of each direction, or to
// the subject. An API server can store some of these parts: a CustomResourceDefinition does not
// validate selectors, and a later version of the API can have more fields.
func (r *Random) invalidateClusterPolicy(policy *v1beta1.ClusterNetworkPolicy) {
	invalid := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{pick(r.choose, invalidRequirements)}}
	peer := clusterPeer{}
	switch r.choose(10) {
	case 0, 1: // a peer without any field
	case 2:
		peer.Namespaces = invalid
	case 3:
		peer.Pods = &v1beta1.NamespacedPod{PodSelector: *invalid}
	case 4:
		peer.Networks = []v1beta1.CIDR{"0.0.0.0/0", pick(r.choose, invalidNetworks)}
	case 5:
		peer.Nodes = invalid
	case 6:
		peer = r.podPeer()
		peer.Networks = r.networks()
	case 7:
		r.invalidateSubject(policy, invalid)
		return
	default:
		r.invalidateProtocols(policy)
		return
	}
	if n := len(policy.Spec.Ingress); n > 0 {
		rule := &policy.Spec.Ingress[r.choose(n)]
		rule.From = append(rule.From, v1beta1.ClusterNetworkPolicyIngressPeer{Namespaces: peer.Namespaces, Pods: peer.Pods})
	}
	if n := len(policy.Spec.Egress); n > 0 {
		rule := &policy.Spec.Egress[r.choose(n)]
		rule.To = append(rule.To, peer)
	}
}

func (r *Random) invalidateProtocols(policy *v1beta1.ClusterNetworkPolicy) {
	protocol := pick(r.choose, invalidClusterProtocols())
	if n := len(policy.Spec.Ingress); n > 0 {
		rule := &policy.Spec.Ingress[r.choose(n)]
		rule.Protocols = append(rule.Protocols, protocol)
	}
	if n := len(policy.Spec.Egress); n > 0 {
		rule := &policy.Spec.Egress[r.choose(n)]
		rule.Protocols = append(rule.Protocols, protocol)
	}
}

func (r *Random) invalidateSubject(policy *v1beta1.ClusterNetworkPolicy, invalid *metav1.LabelSelector) {
	subject := &policy.Spec.Subject
	switch r.choose(4) {
	case 0: // a subject without any field
		*subject = v1beta1.ClusterNetworkPolicySubject{}
	case 1:
		*subject = v1beta1.ClusterNetworkPolicySubject{Namespaces: invalid}
	case 2:
		*subject = v1beta1.ClusterNetworkPolicySubject{Pods: &v1beta1.NamespacedPod{NamespaceSelector: r.namespaceSelector(), PodSelector: *invalid}}
	default:
		*subject = v1beta1.ClusterNetworkPolicySubject{Namespaces: r.namespacesOfCluster(), Pods: r.podsOfCluster()}
	}
}
