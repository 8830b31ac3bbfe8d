package topology

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// clusterNetworkPolicy converts a policy to a ClusterNetworkPolicy with the same effect. It omits
// invalid rules, because they match nothing.
func clusterNetworkPolicy(p *policy.Policy) *v1beta1.ClusterNetworkPolicy {
	out := &v1beta1.ClusterNetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1beta1.GroupVersion.String(), Kind: "ClusterNetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: p.Name},
		Spec:       v1beta1.ClusterNetworkPolicySpec{Tier: v1beta1.Tier(p.Tier.String()), Priority: p.Priority},
	}
	out.Spec.Subject.Namespaces, out.Spec.Subject.Pods = podSet(&p.Subject)
	for _, r := range p.Ingress {
		if r.Invalid {
			continue
		}
		ingress := v1beta1.ClusterNetworkPolicyIngressRule{Name: r.Name, Action: v1beta1.ClusterNetworkPolicyRuleAction(r.Action.String()), Protocols: protocols(r.Ports)}
		for _, peer := range clusterPeers(r.Peers) {
			ingress.From = append(ingress.From, v1beta1.ClusterNetworkPolicyIngressPeer{Namespaces: peer.Namespaces, Pods: peer.Pods})
		}
		out.Spec.Ingress = append(out.Spec.Ingress, ingress)
	}
	for _, r := range p.Egress {
		if !r.Invalid {
			out.Spec.Egress = append(out.Spec.Egress, v1beta1.ClusterNetworkPolicyEgressRule{
				Name: r.Name, Action: v1beta1.ClusterNetworkPolicyRuleAction(r.Action.String()), Protocols: protocols(r.Ports), To: clusterPeers(r.Peers),
			})
		}
	}
	return out
}

func podSet(in *policy.PodSet) (namespaces *metav1.LabelSelector, pods *v1beta1.NamespacedPod) {
	if in.Pods.Present() {
		return nil, &v1beta1.NamespacedPod{NamespaceSelector: labelSelector(in.Namespaces), PodSelector: labelSelector(in.Pods)}
	}
	return new(labelSelector(in.Namespaces)), nil
}

// clusterPeers converts peers. It merges adjacent networks of the same entry into one entry. If a
// rule denies every connection because it is not understood, its list of peers is empty, and
// clusterPeers returns an empty list. The converted rule then also denies every connection, because
// a rule with an empty list is not understood either.
func clusterPeers(in []policy.Peer) (out []v1beta1.ClusterNetworkPolicyEgressPeer) {
	for i, p := range in {
		var peer v1beta1.ClusterNetworkPolicyEgressPeer
		switch {
		case p.Invalid:
			continue
		case p.Block != nil && i > 0 && in[i-1].Block != nil && in[i-1].Entry == p.Entry:
			networks := &out[len(out)-1].Networks
			*networks = append(*networks, v1beta1.CIDR(p.Block.CIDR.Text))
			continue
		case p.Block != nil:
			peer.Networks = []v1beta1.CIDR{v1beta1.CIDR(p.Block.CIDR.Text)}
		case p.OfNodes:
			peer.Nodes = new(labelSelector(p.Nodes))
		default:
			peer.Namespaces, peer.Pods = podSet(&p.PodSet)
		}
		out = append(out, peer)
	}
	return out
}

// protocols converts ports. The list `in` contains a named port once for each protocol. protocols
// merges these ports into one entry.
func protocols(in []policy.Port) (out []v1beta1.ClusterNetworkPolicyProtocol) {
	for i, p := range in {
		var entry v1beta1.ClusterNetworkPolicyProtocol
		port := &v1beta1.Port{Number: int32(p.First)}
		if p.First < p.Last {
			port = &v1beta1.Port{Range: &v1beta1.PortRange{Start: int32(p.First), End: int32(p.Last)}}
		}
		switch {
		case p.Name != "" && i > 0 && in[i-1].Entry == p.Entry:
			continue
		case p.Name != "":
			entry.DestinationNamedPort = p.Name
		case p.Protocol == flow.UDP:
			entry.UDP = &v1beta1.ClusterNetworkPolicyProtocolUDP{DestinationPort: port}
		case p.Protocol == flow.SCTP:
			entry.SCTP = &v1beta1.ClusterNetworkPolicyProtocolSCTP{DestinationPort: port}
		default:
			entry.TCP = &v1beta1.ClusterNetworkPolicyProtocolTCP{DestinationPort: port}
		}
		out = append(out, entry)
	}
	return out
}

// policyObject converts a policy to an object of its kind.
func policyObject(p *policy.Policy) any {
	if p.Tier == rule.NetworkPolicyTier {
		return networkPolicy(p)
	}
	return clusterNetworkPolicy(p)
}
