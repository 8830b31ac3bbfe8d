package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// peersShown and portsShown bound a rule's text.
const (
	peersShown = 4
	portsShown = 6
)

// policyIndex finds policies by "namespace/name".
type policyIndex map[string]*networkingv1.NetworkPolicy

func indexPolicies(policies []*networkingv1.NetworkPolicy) policyIndex {
	index := policyIndex{}
	for _, p := range policies {
		index[p.Namespace+"/"+p.Name] = p
	}
	return index
}

// rule writes one rule short: "ingress[0] from pods role=frontend in namespace
// default on TCP 6379". Of a policy that is not at hand it gives the place only.
// Peers that keep refuses are left out, unless it refuses all; nil keeps all.
func (x policyIndex) rule(policy string, d rule.Direction, index int, keep keepPeer) string {
	place := fmt.Sprintf("%s[%d]", d, index)
	p := x[policy]
	switch {
	case p == nil:
		return place
	case d == rule.Ingress && index < len(p.Spec.Ingress):
		r := &p.Spec.Ingress[index]
		return place + " " + peersText("from", p.Namespace, r.From, keep) + portsText(r.Ports)
	case d == rule.Egress && index < len(p.Spec.Egress):
		r := &p.Spec.Egress[index]
		return place + " " + peersText("to", p.Namespace, r.To, keep) + portsText(r.Ports)
	default:
		return place
	}
}

// keepPeer chooses among a rule's peers; namespace is the policy's.
type keepPeer func(namespace string, p *networkingv1.NetworkPolicyPeer) bool

func peersText(preposition, namespace string, peers []networkingv1.NetworkPolicyPeer, keep keepPeer) string {
	if len(peers) == 0 {
		return preposition + " anywhere"
	}
	var kept []string
	for i := range peers {
		if keep != nil && keep(namespace, &peers[i]) {
			kept = append(kept, peerText(namespace, &peers[i]))
		}
	}
	of := ""
	if len(kept) > 0 && len(kept) < len(peers) {
		of = fmt.Sprintf(" (of %d peers)", len(peers))
	}
	if len(kept) == 0 {
		for i := range peers {
			kept = append(kept, peerText(namespace, &peers[i]))
		}
	}
	if len(kept) > peersShown {
		kept = append(kept[:peersShown], fmt.Sprintf("%d more", len(kept)-peersShown))
	}
	return preposition + " " + strings.Join(kept, " or ") + of
}

func peerText(namespace string, p *networkingv1.NetworkPolicyPeer) string {
	switch {
	case p.IPBlock != nil && len(p.IPBlock.Except) > 0:
		return p.IPBlock.CIDR + " except " + few(p.IPBlock.Except)
	case p.IPBlock != nil:
		return p.IPBlock.CIDR
	case p.NamespaceSelector == nil && p.PodSelector == nil:
		return "nobody"
	case p.NamespaceSelector == nil:
		return podsText(p.PodSelector) + " in namespace " + namespace
	default:
		return podsText(p.PodSelector) + " in " + namespacesText(p.NamespaceSelector)
	}
}

func podsText(s *metav1.LabelSelector) string {
	if isEmpty(s) {
		return "all pods"
	}
	return "pods " + metav1.FormatLabelSelector(s)
}

func namespacesText(s *metav1.LabelSelector) string {
	switch name, ok := s.MatchLabels[corev1.LabelMetadataName]; {
	case isEmpty(s):
		return "all namespaces"
	case ok && len(s.MatchLabels) == 1 && len(s.MatchExpressions) == 0:
		return "namespace " + name
	default:
		return "namespaces " + metav1.FormatLabelSelector(s)
	}
}

func isEmpty(s *metav1.LabelSelector) bool {
	return s == nil || len(s.MatchLabels)+len(s.MatchExpressions) == 0
}

// portsText writes ports with their protocols: " on TCP 80 and UDP 53".
func portsText(ports []networkingv1.NetworkPolicyPort) string {
	if len(ports) == 0 {
		return " on every port"
	}
	var parts []string
	for i := range ports {
		if i == portsShown {
			parts = append(parts, fmt.Sprintf("%d more", len(ports)-i))
			break
		}
		parts = append(parts, portText(&ports[i]))
	}
	return " on " + strings.Join(parts, " or ")
}

func portText(p *networkingv1.NetworkPolicyPort) string {
	protocol := corev1.ProtocolTCP
	if p.Protocol != nil {
		protocol = *p.Protocol
	}
	switch {
	case p.Port == nil:
		return "every " + string(protocol) + " port"
	case p.EndPort != nil:
		return fmt.Sprintf("%s %s-%d", protocol, p.Port.String(), *p.EndPort)
	default:
		return fmt.Sprintf("%s %s", protocol, p.Port.String())
	}
}
