package main

import (
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// ruleTexts writes rules for people who ask about one flow: of a rule that is
// for the other end, only the peers that are the other end.
type ruleTexts struct {
	policies   policyIndex
	namespaces map[string]policy.Labels
	pods       map[string]policy.Labels
}

func newRuleTexts(s *policy.Snapshot) *ruleTexts {
	t := &ruleTexts{policies: indexPolicies(s.Policies()), namespaces: map[string]policy.Labels{}, pods: map[string]policy.Labels{}}
	for _, n := range s.Namespaces() {
		t.namespaces[n.Name] = n.Labels
	}
	for _, p := range s.Pods() {
		t.pods[p.Namespace+"/"+p.Name] = p.Labels
	}
	return t
}

// rule writes a rule short. Where other is given, peers that do not match it
// are left out, unless none does. A nil receiver knows no policies.
func (t *ruleTexts) rule(policy string, d rule.Direction, index int, other *end) string {
	if t == nil {
		return policyIndex(nil).rule(policy, d, index, nil)
	}
	if other == nil {
		return t.policies.rule(policy, d, index, nil)
	}
	return t.policies.rule(policy, d, index, func(namespace string, p *networkingv1.NetworkPolicyPeer) bool {
		return t.matches(namespace, p, other)
	})
}

func (t *ruleTexts) matches(namespace string, p *networkingv1.NetworkPolicyPeer, other *end) bool {
	if p.IPBlock != nil {
		return inBlock(p.IPBlock, other.Address)
	}
	set, isPod := t.pods[other.Name]
	if !isPod || other.hostNetwork {
		return false
	}
	of := other.namespace()
	if p.NamespaceSelector == nil && of != namespace {
		return false
	}
	if p.NamespaceSelector != nil {
		if set, known := t.namespaces[of]; !known || !selects(p.NamespaceSelector, set) {
			return false
		}
	}
	return p.PodSelector == nil || selects(p.PodSelector, set)
}

func selects(s *metav1.LabelSelector, set policy.Labels) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(set)
}

func inBlock(b *networkingv1.IPBlock, a netip.Addr) bool {
	cidr, err := policy.ParseCIDR(b.CIDR)
	if err != nil || !cidr.Contains(a) {
		return false
	}
	for _, text := range b.Except {
		if except, err := policy.ParseCIDR(text); err == nil && except.Contains(a) {
			return false
		}
	}
	return true
}
