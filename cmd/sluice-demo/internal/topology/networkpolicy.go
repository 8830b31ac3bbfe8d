package topology

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// networkPolicy converts a policy to a NetworkPolicy with the same effect. It omits
// invalid rules, because they allow nothing.
func networkPolicy(p *policy.Policy) *networkingv1.NetworkPolicy {
	out := &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Scope, Name: p.Name},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: labelSelector(p.Subject.Pods)},
	}
	if p.Isolates[rule.Ingress] {
		out.Spec.PolicyTypes = append(out.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
	}
	if p.Isolates[rule.Egress] {
		out.Spec.PolicyTypes = append(out.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}
	for _, r := range p.Ingress {
		if !r.Invalid {
			out.Spec.Ingress = append(out.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers(r.Peers), Ports: ports(r.Ports)})
		}
	}
	for _, r := range p.Egress {
		if !r.Invalid {
			out.Spec.Egress = append(out.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peers(r.Peers), Ports: ports(r.Ports)})
		}
	}
	return out
}

func peers(in []policy.Peer) (out []networkingv1.NetworkPolicyPeer) {
	for _, p := range in {
		var peer networkingv1.NetworkPolicyPeer
		if p.Block != nil {
			peer.IPBlock = &networkingv1.IPBlock{CIDR: p.Block.CIDR.Text}
			for _, e := range p.Block.Except {
				peer.IPBlock.Except = append(peer.IPBlock.Except, e.Text)
			}
		}
		if p.Namespaces.Present() {
			peer.NamespaceSelector = new(labelSelector(p.Namespaces))
		}
		if p.Pods.Present() {
			peer.PodSelector = new(labelSelector(p.Pods))
		}
		out = append(out, peer)
	}
	return out
}

func ports(in []policy.Port) (out []networkingv1.NetworkPolicyPort) {
	for _, p := range in {
		port := networkingv1.NetworkPolicyPort{Protocol: new(corev1.Protocol(p.Protocol.String()))}
		switch {
		case p.Name != "":
			port.Port = new(intstr.FromString(p.Name))
		case !p.EveryPort():
			port.Port = new(intstr.FromInt32(int32(p.First)))
		}
		if p.First < p.Last && !p.EveryPort() {
			port.EndPort = new(int32(p.Last))
		}
		out = append(out, port)
	}
	return out
}

var operators = map[selection.Operator]metav1.LabelSelectorOperator{
	selection.In: metav1.LabelSelectorOpIn, selection.NotIn: metav1.LabelSelectorOpNotIn,
	selection.Exists: metav1.LabelSelectorOpExists, selection.DoesNotExist: metav1.LabelSelectorOpDoesNotExist,
}

func labelSelector(s label.Selector) (out metav1.LabelSelector) {
	for r := range s.Requirements() {
		if r.Operator == selection.Equals {
			if out.MatchLabels == nil {
				out.MatchLabels = map[string]string{}
			}
			out.MatchLabels[r.Key] = r.Values[0]
			continue
		}
		out.MatchExpressions = append(out.MatchExpressions, metav1.LabelSelectorRequirement{Key: r.Key, Operator: operators[r.Operator], Values: r.Values})
	}
	return out
}
