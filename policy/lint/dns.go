package lint

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/policy"
)

const (
	dnsPort   = 53
	dnsSystem = "kube-system"
)

// isDNS reports whether a pod is the cluster's DNS server, by the labels that
// CoreDNS is installed with.
func isDNS(p *policy.Pod) bool {
	return p.Labels.Get("k8s-app") == "kube-dns" || p.Labels.Get("k8s-app") == "coredns" || p.Labels.Get("app.kubernetes.io/name") == "coredns"
}

// names finds pods that a policy isolates for egress and that can then no
// longer resolve names: neither this policy nor another that selects them lets
// them ask a DNS server over UDP.
func (c *check) names() {
	if !c.subject.egress {
		return
	}
	const name, field = "no-dns", "spec.egress"
	blind, who := c.blind()
	switch {
	case !blind:
	case len(c.subject.object.Spec.Egress) > 0:
		c.found(Warning, name, field, c.dnsMend(),
			"the policy isolates pods for egress and neither it nor another lets them ask DNS: %s cannot resolve names", who)
	case !c.someEgressRule():
		c.found(Note, name, field, c.dnsMend(), "the policy refuses all egress, DNS with it, and no other policy allows any")
	}
}

// blind reports whether some pod of the policy cannot ask DNS, and names it.
// While no pods are known, the policies of the namespace stand for each other.
func (c *check) blind() (blind bool, who string) {
	if !c.anyPod {
		return !slices.ContainsFunc(c.byNamespace[c.subject.namespace], c.allowsDNS), "pods"
	}
	var pods []*policy.Pod
	for _, pod := range c.subject.pods {
		asks := slices.ContainsFunc(c.byNamespace[c.subject.namespace], func(s *subject) bool {
			return matches(s.selector, pod.Labels) && c.allowsDNS(s)
		})
		if !asks && !isDNS(pod) {
			pods = append(pods, pod)
		}
	}
	return len(pods) > 0, list(pods)
}

// someEgressRule reports whether another policy has egress rules for pods of
// this one. Then that policy is the one to mend.
func (c *check) someEgressRule() bool {
	return slices.ContainsFunc(c.byNamespace[c.subject.namespace], func(s *subject) bool {
		return s.egress && len(s.object.Spec.Egress) > 0 &&
			(!c.anyPod || slices.ContainsFunc(c.subject.pods, func(p *policy.Pod) bool { return matches(s.selector, p.Labels) }))
	})
}

func (c *check) dnsMend() string {
	for i := range c.subject.rules {
		r := &c.subject.rules[i]
		if !r.ingress && len(r.ports) > 0 && asksDNS(r.ports, corev1.ProtocolTCP) && !asksDNS(r.ports, corev1.ProtocolUDP) {
			return "add protocol: UDP at port 53; a port without a protocol is TCP, and DNS asks over UDP first"
		}
	}
	return "allow UDP and TCP port 53 to pods k8s-app=kube-dns in namespace kube-system"
}

// allowsDNS reports whether some egress rule of a policy lets its pods ask a
// DNS server.
func (w *world) allowsDNS(s *subject) bool {
	if s.dns == unknown {
		s.dns = no
		for i := range s.rules {
			if r := &s.rules[i]; s.egress && !r.ingress && asksDNS(r.ports, corev1.ProtocolUDP) && w.reachesDNS(s, r) {
				s.dns = yes
			}
		}
	}
	return s.dns == yes
}

// reachesDNS reports whether a rule's peers can be a DNS server. The DNS pods
// decide where they are known; where not, a rule that names port 53 is taken at
// its word, and one for all ports must reach all pods or kube-system.
func (w *world) reachesDNS(s *subject, r *ruleOf) bool {
	if len(r.peers) == 0 {
		return true
	}
	for i := range r.peers {
		p := &r.peers[i]
		switch {
		case p.IPBlock != nil:
			cidr, _, ok := prefixes(p.IPBlock)
			inside := slices.ContainsFunc(w.within(p.IPBlock), isDNS)
			if ok && (inside || len(r.ports) > 0 || cidr.Bits() == 0) {
				return true
			}
		case len(w.dnsPods) > 0:
			if slices.ContainsFunc(w.podsOf(s.namespace, p), isDNS) {
				return true
			}
		case len(r.ports) > 0:
			return true
		case p.NamespaceSelector != nil:
			selector := selectorOf(p.NamespaceSelector)
			if selector != nil && (selector.Empty() || selector.Matches(labels.Set{corev1.LabelMetadataName: dnsSystem})) {
				return true
			}
		}
	}
	return false
}

// asksDNS reports whether ports include DNS over the protocol.
func asksDNS(ports []networkingv1.NetworkPolicyPort, protocol corev1.Protocol) bool {
	if len(ports) == 0 {
		return true
	}
	return slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		switch {
		case protocolOf(&p) != protocol:
			return false
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			return p.Port.StrVal == "dns" || p.Port.StrVal == "domain" || p.Port.StrVal == "dns-udp"
		case p.EndPort != nil:
			return p.Port.IntVal <= dnsPort && dnsPort <= *p.EndPort
		default:
			return p.Port.IntVal == dnsPort || p.Port.IntVal == 5353
		}
	})
}
