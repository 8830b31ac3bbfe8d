package reference

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
)

// policyRule is an ingress rule or an egress rule. The two types of rules in the API differ
// only in the names of their fields.
type policyRule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

func rulesOf(policy *networkingv1.NetworkPolicy, direction rule.Direction) []policyRule {
	var rules []policyRule
	if direction == rule.Ingress {
		for _, r := range policy.Spec.Ingress {
			rules = append(rules, policyRule{r.From, r.Ports})
		}
		return rules
	}
	for _, r := range policy.Spec.Egress {
		rules = append(rules, policyRule{r.To, r.Ports})
	}
	return rules
}

// broken reports whether the rule is invalid and so allows nothing (S60). A rule is invalid if
// it has at least one invalid peer or port.
func (r policyRule) broken() bool {
	for _, peer := range r.peers {
		if brokenPeer(peer) {
			return true
		}
	}
	for _, port := range r.ports {
		if brokenPort(port) {
			return true
		}
	}
	return false
}

func brokenPeer(peer networkingv1.NetworkPolicyPeer) bool {
	if peer.IPBlock != nil {
		return peer.PodSelector != nil || peer.NamespaceSelector != nil || brokenBlock(peer.IPBlock)
	}
	if peer.PodSelector == nil && peer.NamespaceSelector == nil {
		return true
	}
	return brokenSelector(peer.PodSelector) || brokenSelector(peer.NamespaceSelector)
}

func brokenPort(port networkingv1.NetworkPolicyPort) bool {
	if port.Protocol != nil && protocolNumber(*port.Protocol) == 0 {
		return true
	}
	if port.Port == nil {
		return port.EndPort != nil
	}
	if port.Port.Type == intstr.String {
		return port.EndPort != nil || !validPortName(port.Port.StrVal)
	}
	first := port.Port.IntVal
	if first < 1 || first > 65535 {
		return true
	}
	return port.EndPort != nil && (*port.EndPort < first || *port.EndPort > 65535)
}

// allowsPeer reports whether one of the rule's peers matches the peer of a flow (S20 to S25).
// The `namespace` parameter is the namespace of the policy.
func (r policyRule) allowsPeer(objects cluster.Objects, namespace string, peer end) bool {
	if len(r.peers) == 0 {
		return true
	}
	for _, entry := range r.peers {
		if entry.IPBlock != nil {
			if blockContains(entry.IPBlock, peer.address) {
				return true
			}
		} else if peer.pod != nil && selectsPeer(objects, entry, namespace, peer.pod) {
			return true
		}
	}
	return false
}

func selectsPeer(objects cluster.Objects, entry networkingv1.NetworkPolicyPeer, namespace string, pod *corev1.Pod) bool {
	if entry.PodSelector != nil && !selectorMatches(entry.PodSelector, pod.Labels) {
		return false
	}
	if entry.NamespaceSelector == nil {
		return namespaceOf(pod) == namespace
	}
	labels, ok := labelsOfNamespace(objects, namespaceOf(pod))
	return ok && selectorMatches(entry.NamespaceSelector, labels)
}

// labelsOfNamespace returns the labels of a namespace. If the namespace has no Namespace object, ok
// is false, and no namespace selector matches the namespace (S27).
func labelsOfNamespace(objects cluster.Objects, name string) (labels map[string]string, ok bool) {
	for _, object := range objects.Namespaces {
		if object.Name == name {
			return namespaceLabels(object), true
		}
	}
	return nil, false
}

// namespaceLabels returns the labels of a namespace. They include the label with the name of
// the namespace, which the API server adds.
func namespaceLabels(namespace *corev1.Namespace) map[string]string {
	labels := map[string]string{}
	for key, value := range namespace.Labels {
		labels[key] = value
	}
	labels[corev1.LabelMetadataName] = namespace.Name
	return labels
}

// allowsPort reports whether one of the rule's ports matches the protocol and the port of a
// flow (S30 to S36).
func (r policyRule) allowsPort(f flow.Flow, target *corev1.Pod) bool {
	if len(r.ports) == 0 {
		return true
	}
	for _, port := range r.ports {
		if portMatches(port, f, target) {
			return true
		}
	}
	return false
}

func portMatches(port networkingv1.NetworkPolicyPort, f flow.Flow, target *corev1.Pod) bool {
	protocol := corev1.ProtocolTCP
	if port.Protocol != nil {
		protocol = *port.Protocol
	}
	if f.Protocol != protocolNumber(protocol) {
		return false
	}
	if port.Port == nil {
		return true
	}
	if port.Port.Type == intstr.String {
		if target == nil {
			return false // An address that belongs to no pod has no named ports (S34).
		}
		number := containerPort(target, port.Port.StrVal, protocol)
		return number != 0 && int32(f.DstPort) == number
	}
	first, last := port.Port.IntVal, port.Port.IntVal
	if port.EndPort != nil {
		last = *port.EndPort
	}
	return first <= int32(f.DstPort) && int32(f.DstPort) <= last
}

// protocolNumber returns the number of a protocol. If NetworkPolicy does not support the
// protocol, it returns 0.
func protocolNumber(name corev1.Protocol) flow.Protocol {
	switch name {
	case corev1.ProtocolTCP:
		return flow.TCP
	case corev1.ProtocolUDP:
		return flow.UDP
	case corev1.ProtocolSCTP:
		return flow.SCTP
	default:
		return 0
	}
}

// validPortName reports whether a name is a valid service name (RFC 6335, section 5.1) that
// contains no upper-case letters. The API server requires such names.
func validPortName(name string) bool {
	if len(name) < 1 || len(name) > 15 {
		return false
	}
	letters := 0
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z':
			letters++
		case '0' <= c && c <= '9':
		case c == '-':
			if i == 0 || i == len(name)-1 || name[i-1] == '-' {
				return false
			}
		default:
			return false
		}
	}
	return letters > 0
}
