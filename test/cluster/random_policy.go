package cluster

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// cidrs contains overlapping and adjacent blocks. They include addresses of pods and nodes.
// Some of the blocks have host bits, such as 10.0.0.3/30.
var cidrs = []string{
	"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/29", "10.0.0.4/30", "10.0.0.5/32", "10.0.0.3/30", "10.0.0.0/31",
	"192.168.0.0/16", "192.168.0.2/32", "8.8.8.8/32", "0.0.0.0/1", "255.255.255.255/32",
	"::/0", "fd00::/64", "fd00::4/126", "fd00::5/128", "fd00::3/125", "fd01::/64", "2001:db8::1/32", "::/128",
}

func (r *Random) selector() metav1.LabelSelector {
	var selector metav1.LabelSelector
	switch r.choose(4) {
	case 0, 1: // an empty selector, which selects all objects
	case 2:
		selector.MatchLabels = map[string]string{pick(r.choose, labelKeys): pick(r.choose, labelValues)}
	case 3:
		if r.half() {
			selector.MatchLabels = map[string]string{pick(r.choose, labelKeys): pick(r.choose, labelValues)}
		}
		for range 1 + r.choose(2) {
			selector.MatchExpressions = append(selector.MatchExpressions, r.expression())
		}
	}
	return selector
}

func (r *Random) expression() metav1.LabelSelectorRequirement {
	expression := metav1.LabelSelectorRequirement{
		Key: pick(r.choose, labelKeys),
		Operator: pick(r.choose, []metav1.LabelSelectorOperator{
			metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn,
		}),
	}
	if expression.Operator == metav1.LabelSelectorOpIn || expression.Operator == metav1.LabelSelectorOpNotIn {
		for range 1 + r.choose(2) {
			expression.Values = append(expression.Values, pick(r.choose, labelValues))
		}
	}
	return expression
}

// namespaceSelector returns a random selector for namespaces. Sometimes the selector selects a
// single namespace by the label that contains its name. Many real policies use such selectors.
func (r *Random) namespaceSelector() metav1.LabelSelector {
	if r.seldom() {
		return metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: pick(r.choose, namespaceNames)}}
	}
	return r.selector()
}

// rule returns the ports and peers of a random rule. One in four rules combines a named port with
// an ipBlock. The name of this port must be resolved for each pod with an address in the block.
func (r *Random) rule() ([]networkingv1.NetworkPolicyPort, []networkingv1.NetworkPolicyPeer) {
	ports, peers := r.ports(), r.peers()
	if r.choose(4) == 3 {
		name := intstr.FromString(pick(r.choose, portNames))
		ports = append(ports, networkingv1.NetworkPolicyPort{Port: &name})
		peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: r.block()})
	}
	return ports, peers
}

func (r *Random) peers() []networkingv1.NetworkPolicyPeer {
	var peers []networkingv1.NetworkPolicyPeer
	for range r.choose(4) {
		var peer networkingv1.NetworkPolicyPeer
		kind := r.choose(4)
		if kind == 0 || kind == 2 {
			selector := r.selector()
			peer.PodSelector = &selector
		}
		if kind == 1 || kind == 2 {
			selector := r.namespaceSelector()
			peer.NamespaceSelector = &selector
		}
		if kind == 3 {
			peer.IPBlock = r.block()
		}
		peers = append(peers, peer)
	}
	return peers
}

func (r *Random) block() *networkingv1.IPBlock {
	block := &networkingv1.IPBlock{CIDR: pick(r.choose, cidrs)}
	cidr := netip.MustParsePrefix(block.CIDR).Masked()
	var inside []string
	for _, text := range cidrs {
		if other := netip.MustParsePrefix(text); other.Bits() >= cidr.Bits() && cidr.Contains(other.Addr()) {
			inside = append(inside, text)
		}
	}
	for range r.choose(4) {
		block.Except = append(block.Except, pick(r.choose, inside))
	}
	return block
}

func (r *Random) ports() []networkingv1.NetworkPolicyPort {
	var ports []networkingv1.NetworkPolicyPort
	for range r.choose(3) {
		var port networkingv1.NetworkPolicyPort
		if r.half() {
			protocol := pick(r.choose, protocols)
			port.Protocol = &protocol
		}
		switch r.choose(5) {
		case 0, 1:
			number := intstr.FromInt32(pick(r.choose, portNumbers))
			port.Port = &number
		case 2, 3:
			name := intstr.FromString(pick(r.choose, portNames))
			port.Port = &name
		}
		if port.Port != nil && port.Port.Type == intstr.Int && r.half() {
			end := pick(r.choose, []int32{port.Port.IntVal, port.Port.IntVal + 1, 65535})
			port.EndPort = &end
		}
		ports = append(ports, port)
	}
	return ports
}
