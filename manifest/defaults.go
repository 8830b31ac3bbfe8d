package manifest

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// defaultPolicy fills in what the API server would: the namespace, the policy
// types and the protocol of ports (pkg/apis/networking/v1/defaults.go).
func defaultPolicy(p *networkingv1.NetworkPolicy) {
	if p.Namespace == "" {
		p.Namespace = corev1.NamespaceDefault
	}
	if len(p.Spec.PolicyTypes) == 0 {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(p.Spec.Egress) > 0 {
			p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	for i := range p.Spec.Ingress {
		defaultProtocols(p.Spec.Ingress[i].Ports)
	}
	for i := range p.Spec.Egress {
		defaultProtocols(p.Spec.Egress[i].Ports)
	}
}

func defaultProtocols(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		if ports[i].Protocol == nil {
			tcp := corev1.ProtocolTCP
			ports[i].Protocol = &tcp
		}
	}
}
