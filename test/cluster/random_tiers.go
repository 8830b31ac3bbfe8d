package cluster

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"
)

type (
	clusterPeer     = v1beta1.ClusterNetworkPolicyEgressPeer
	clusterProtocol = v1beta1.ClusterNetworkPolicyProtocol
)

// clusterPolicyNames contains the names of the policies. Policies with equal priorities are ordered
// by name. To test this order, one of the names is a prefix of another one.
var clusterPolicyNames = []string{"guard", "floor", "guard-2", "audit", "g"}

var clusterActions = []v1beta1.ClusterNetworkPolicyRuleAction{
	v1beta1.ClusterNetworkPolicyRuleActionAccept,
	v1beta1.ClusterNetworkPolicyRuleActionDeny,
	v1beta1.ClusterNetworkPolicyRuleActionPass,
}

// NewTiered generates a cluster like NewRandom does, and adds up to 5 ClusterNetworkPolicies. Most
// of these policies have the same priority as another policy.
func NewTiered(choose Choose) *Random {
	r := NewRandom(choose)
	r.tiers = true
	for range choose(8) {
		r.Apply(Change{Object: r.clusterPolicy()})
	}
	return r
}

// nextOfTiers returns the changes of an event that concerns ClusterNetworkPolicies.
func (r *Random) nextOfTiers() []Change {
	switch r.choose(6) {
	case 0, 1, 2:
		return []Change{{Object: r.clusterPolicy()}}
	case 3:
		return deleteOne(r, r.ClusterNetworkPolicies)
	case 4:
		return r.changeNode(func(node *corev1.Node) { r.relabel(node.Labels) })
	default:
		return r.changeClusterPolicy(func(policy *v1beta1.ClusterNetworkPolicy) {
			policy.Spec.Priority, policy.Spec.Tier = r.priority(), r.tier()
		})
	}
}

func (r *Random) changeNode(change func(*corev1.Node)) []Change {
	if len(r.Nodes) == 0 {
		return nil
	}
	node := pick(r.choose, r.Nodes).DeepCopy()
	change(node)
	return []Change{{Object: node}}
}

func (r *Random) changeClusterPolicy(change func(*v1beta1.ClusterNetworkPolicy)) []Change {
	if len(r.ClusterNetworkPolicies) == 0 {
		return nil
	}
	policy := pick(r.choose, r.ClusterNetworkPolicies).DeepCopy()
	change(policy)
	return []Change{{Object: policy}}
}

func (r *Random) priority() int32 { return 500 * int32(r.choose(3)) }
func (r *Random) tier() v1beta1.Tier {
	return pick(r.choose, []v1beta1.Tier{v1beta1.AdminTier, v1beta1.BaselineTier})
}

// clusterPolicy returns a policy with a name from a short list, so that it often replaces an
// existing policy. One in eight policies has a part that is invalid or not supported.
func (r *Random) clusterPolicy() *v1beta1.ClusterNetworkPolicy {
	policy := &v1beta1.ClusterNetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: pick(r.choose, clusterPolicyNames)}}
	policy.Spec.Tier, policy.Spec.Priority, policy.Spec.Subject = r.tier(), r.priority(), r.clusterSubject()
	for range r.choose(4) {
		policy.Spec.Ingress = append(policy.Spec.Ingress, r.clusterIngress())
	}
	for range r.choose(4) {
		policy.Spec.Egress = append(policy.Spec.Egress, r.clusterEgress())
	}
	if r.seldom() {
		r.invalidateClusterPolicy(policy)
	}
	return policy
}

// clusterSubject returns a subject. One in two subjects contains all pods of the cluster.
func (r *Random) clusterSubject() v1beta1.ClusterNetworkPolicySubject {
	var subject v1beta1.ClusterNetworkPolicySubject
	switch r.choose(4) {
	case 0, 1:
		subject.Namespaces = &metav1.LabelSelector{}
	case 2:
		subject.Namespaces = r.namespacesOfCluster()
	case 3:
		subject.Pods = r.podsOfCluster()
	}
	return subject
}

func (r *Random) namespacesOfCluster() *metav1.LabelSelector {
	selector := r.namespaceSelector()
	return &selector
}

func (r *Random) podsOfCluster() *v1beta1.NamespacedPod {
	return &v1beta1.NamespacedPod{NamespaceSelector: r.namespaceSelector(), PodSelector: r.selector()}
}

func (r *Random) clusterIngress() v1beta1.ClusterNetworkPolicyIngressRule {
	rule := v1beta1.ClusterNetworkPolicyIngressRule{Action: pick(r.choose, clusterActions), Protocols: r.clusterProtocols()}
	for range 1 + r.choose(3) {
		peer := r.podPeer()
		rule.From = append(rule.From, v1beta1.ClusterNetworkPolicyIngressPeer{Namespaces: peer.Namespaces, Pods: peer.Pods})
	}
	return rule
}

func (r *Random) clusterEgress() v1beta1.ClusterNetworkPolicyEgressRule {
	rule := v1beta1.ClusterNetworkPolicyEgressRule{Action: pick(r.choose, clusterActions), Protocols: r.clusterProtocols()}
	for range 1 + r.choose(3) {
		rule.To = append(rule.To, r.egressPeer())
	}
	return rule
}

func (r *Random) podPeer() clusterPeer {
	if r.half() {
		return clusterPeer{Pods: r.podsOfCluster()}
	}
	return clusterPeer{Namespaces: r.namespacesOfCluster()}
}

// egressPeer returns a peer with one field. This field can be domainNames, even if the rule is not
// an Accept rule. The API supports domainNames only in Accept rules, so in other rules the peer is
// invalid.
func (r *Random) egressPeer() clusterPeer {
	switch r.choose(8) {
	case 0, 1, 2:
		return r.podPeer()
	case 3, 4:
		return clusterPeer{Networks: r.networks()}
	case 5, 6:
		selector := r.selector()
		return clusterPeer{Nodes: &selector}
	default:
		if r.half() {
			return r.podPeer()
		}
		return clusterPeer{DomainNames: []v1beta1.DomainName{"example.com", "*.example.com"}}
	}
}

func (r *Random) networks() []v1beta1.CIDR {
	var networks []v1beta1.CIDR
	for range 1 + r.choose(2) {
		networks = append(networks, v1beta1.CIDR(netip.MustParsePrefix(pick(r.choose, cidrs)).Masked().String()))
	}
	return networks
}

// clusterProtocols returns no entry, which matches every protocol, in half of the cases.
func (r *Random) clusterProtocols() []clusterProtocol {
	var protocols []clusterProtocol
	if r.half() {
		for range 1 + r.choose(3) {
			protocols = append(protocols, r.clusterProtocol())
		}
	}
	return protocols
}

func (r *Random) clusterProtocol() clusterProtocol {
	switch r.choose(5) {
	case 0, 1:
		return clusterProtocol{TCP: &v1beta1.ClusterNetworkPolicyProtocolTCP{DestinationPort: r.clusterPort()}}
	case 2:
		return clusterProtocol{UDP: &v1beta1.ClusterNetworkPolicyProtocolUDP{DestinationPort: r.clusterPort()}}
	case 3:
		return clusterProtocol{SCTP: &v1beta1.ClusterNetworkPolicyProtocolSCTP{DestinationPort: r.clusterPort()}}
	default:
		return clusterProtocol{DestinationNamedPort: pick(r.choose, portNames)}
	}
}

// clusterPort returns a port number, a range of ports, or the range of all ports.
func (r *Random) clusterPort() *v1beta1.Port {
	first := pick(r.choose, portNumbers)
	switch r.choose(4) {
	case 0, 1:
		return &v1beta1.Port{Number: first}
	case 2:
		return &v1beta1.Port{Range: &v1beta1.PortRange{Start: first, End: pick(r.choose, []int32{first + 1, 8081, 65535})}}
	default:
		return &v1beta1.Port{Range: &v1beta1.PortRange{Start: 1, End: 65535}}
	}
}
