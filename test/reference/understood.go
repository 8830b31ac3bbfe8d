package reference

import (
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"
)

// The method `understood` reports whether the rule contains no part that is invalid or not
// supported (S77). A rule must have peers. Only an Accept rule can have domainNames (S82).
func (r clusterRule) understood() bool {
	if len(r.peers) == 0 {
		return false
	}
	for _, peer := range r.peers {
		if !peerUnderstood(peer) || len(peer.DomainNames) > 0 && r.action != v1beta1.ClusterNetworkPolicyRuleActionAccept {
			return false
		}
	}
	return !slices.ContainsFunc(r.protocols, func(entry v1beta1.ClusterNetworkPolicyProtocol) bool { return !protocolUnderstood(entry) })
}

// peerUnderstood reports whether an entry has exactly one field and this field is valid. If the
// entry uses a field of a later version of the API, decoding has dropped this field, and the entry
// has no field.
func peerUnderstood(entry v1beta1.ClusterNetworkPolicyEgressPeer) bool {
	if count(entry.Namespaces != nil, entry.Pods != nil, entry.Nodes != nil, len(entry.Networks) > 0, len(entry.DomainNames) > 0) != 1 {
		return false
	}
	if slices.ContainsFunc(entry.Networks, func(text v1beta1.CIDR) bool { return !networkUnderstood(text) }) {
		return false
	}
	return selectorUnderstood(entry.Namespaces) && namespacedPodUnderstood(entry.Pods) && selectorUnderstood(entry.Nodes)
}

// networkUnderstood reports whether a network can be parsed and has no host bits. IPv4-mapped IPv6
// networks are not understood, because their family is ambiguous.
func networkUnderstood(text v1beta1.CIDR) bool {
	network, err := netip.ParsePrefix(string(text))
	return err == nil && !network.Addr().Is4In6() && network == network.Masked()
}

func selectorUnderstood(selector *metav1.LabelSelector) bool { return !brokenSelector(selector) }

func namespacedPodUnderstood(pods *v1beta1.NamespacedPod) bool {
	return pods == nil || selectorUnderstood(&pods.NamespaceSelector) && selectorUnderstood(&pods.PodSelector)
}

// subjectUnderstood reports whether a subject has exactly one field and all of its selectors are
// valid.
func subjectUnderstood(subject v1beta1.ClusterNetworkPolicySubject) bool {
	return count(subject.Namespaces != nil, subject.Pods != nil) == 1 &&
		selectorUnderstood(subject.Namespaces) && namespacedPodUnderstood(subject.Pods)
}

// protocolUnderstood reports whether an entry has exactly one field and its ports are valid. An
// entry with a protocol must have ports.
func protocolUnderstood(entry v1beta1.ClusterNetworkPolicyProtocol) bool {
	if count(entry.TCP != nil, entry.UDP != nil, entry.SCTP != nil, entry.DestinationNamedPort != "") != 1 {
		return false
	}
	if entry.DestinationNamedPort != "" {
		return validPortName(entry.DestinationNamedPort)
	}
	port := destinationPortOf(entry)
	if port == nil || count(port.Number != 0, port.Range != nil) != 1 {
		return false
	}
	if port.Range != nil {
		return isPort(port.Range.Start) && isPort(port.Range.End) && port.Range.Start <= port.Range.End
	}
	return isPort(port.Number)
}

func isPort(number int32) bool { return 1 <= number && number <= 65535 }

func count(conditions ...bool) int {
	n := 0
	for _, condition := range conditions {
		if condition {
			n++
		}
	}
	return n
}
