package cluster

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var invalidRequirements = []metav1.LabelSelectorRequirement{
	{Key: "app", Operator: metav1.LabelSelectorOpIn},
	{Key: "app", Operator: metav1.LabelSelectorOpNotIn},
	{Key: "app", Operator: metav1.LabelSelectorOpExists, Values: []string{"a"}},
	{Key: "app", Operator: metav1.LabelSelectorOpDoesNotExist, Values: []string{"a"}},
	{Key: "app", Operator: "Equals", Values: []string{"a"}},
	{Key: "", Operator: metav1.LabelSelectorOpExists},
	{Key: "-app", Operator: metav1.LabelSelectorOpDoesNotExist},
	{Key: "Example.com/app", Operator: metav1.LabelSelectorOpDoesNotExist},
	{Key: "a/b/c", Operator: metav1.LabelSelectorOpDoesNotExist},
	{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"not valid"}},
}

var invalidBlocks = []networkingv1.IPBlock{
	{CIDR: ""},
	{CIDR: "10.0.0.1"},
	{CIDR: "10.0.0.0/33"},
	{CIDR: "::ffff:10.0.0.0/104"},
	{CIDR: "10.0.0.0/29", Except: []string{"10.0.0.8/32"}},
	{CIDR: "10.0.0.0/29", Except: []string{"10.0.0.0/8"}},
	{CIDR: "10.0.0.0/29", Except: []string{"fd00::/64"}},
	{CIDR: "10.0.0.0/29", Except: []string{"10.0.0.5"}},
	{CIDR: "::/0", Except: []string{"::ffff:10.0.0.0/104"}},
}

func invalidPorts() []networkingv1.NetworkPolicyPort {
	number := func(n int32) *intstr.IntOrString { v := intstr.FromInt32(n); return &v }
	name := func(s string) *intstr.IntOrString { v := intstr.FromString(s); return &v }
	end := func(n int32) *int32 { return &n }
	icmp := corev1.Protocol("ICMP")
	return []networkingv1.NetworkPolicyPort{
		{Port: number(0)},
		{Port: number(65536)},
		{Port: number(-1)},
		{Port: number(80), EndPort: end(79)},
		{Port: number(80), EndPort: end(65536)},
		{EndPort: end(80)},
		{Port: name("http"), EndPort: end(80)},
		{Port: name("")},
		{Port: name("80")},
		{Port: name("HTTP")},
		{Port: name("a--b")},
		{Port: name("longer-than-fifteen")},
		{Protocol: &icmp},
	}
}

// invalidate adds an invalid part to a policy, such as an invalid peer or port. An API server
// would reject the policy because of this part.
func (r *Random) invalidate(policy *networkingv1.NetworkPolicy) {
	requirement := pick(r.choose, invalidRequirements)
	peer := networkingv1.NetworkPolicyPeer{}
	switch r.choose(8) {
	case 0:
		block := pick(r.choose, invalidBlocks)
		peer.IPBlock = &block
	case 1:
		r.invalidatePorts(policy)
		return
	case 2:
		peer.PodSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{requirement}}
	case 3:
		peer.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{requirement}}
	case 4:
		policy.Spec.PodSelector.MatchExpressions = append(policy.Spec.PodSelector.MatchExpressions, requirement)
		return
	case 5:
		policy.Spec.PolicyTypes = append(policy.Spec.PolicyTypes, "Both")
		return
	case 6:
		peer.IPBlock, peer.PodSelector = r.block(), &metav1.LabelSelector{}
	case 7: // a peer without any field
	}
	if len(policy.Spec.Ingress) > 0 {
		rule := &policy.Spec.Ingress[r.choose(len(policy.Spec.Ingress))]
		rule.From = append(rule.From, peer)
	}
	if len(policy.Spec.Egress) > 0 {
		rule := &policy.Spec.Egress[r.choose(len(policy.Spec.Egress))]
		rule.To = append(rule.To, peer)
	}
}

func (r *Random) invalidatePorts(policy *networkingv1.NetworkPolicy) {
	port := pick(r.choose, invalidPorts())
	if len(policy.Spec.Ingress) > 0 {
		rule := &policy.Spec.Ingress[r.choose(len(policy.Spec.Ingress))]
		rule.Ports = append(rule.Ports, port)
	}
	if len(policy.Spec.Egress) > 0 {
		rule := &policy.Spec.Egress[r.choose(len(policy.Spec.Egress))]
		rule.Ports = append(rule.Ports, port)
	}
}
