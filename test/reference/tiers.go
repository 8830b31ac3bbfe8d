package reference

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
)

// clusterTier evaluates the ClusterNetworkPolicies of a tier. The first rule that matches decides
// (S71). If this rule is a Pass rule, `passes` contains the rule and `side` is nil, because the
// tier does not decide. If no rule matches, both results are nil.
func (e evaluation) clusterTier(tier rule.Tier) (side *Side, passes []PassRef) {
	for _, policy := range inOrder(e.objects.ClusterNetworkPolicies, tier) {
		if !e.isSubject(policy) {
			continue
		}
		for index, r := range clusterRulesOf(policy, e.direction) {
			ref := RuleRef{Policy: policy.Name, Index: index}
			switch e.effect(policy, r) {
			case v1beta1.ClusterNetworkPolicyRuleActionAccept:
				return &Side{Verdict: rule.Allow, Reason: rule.Matched, Tier: tier, Action: rule.ActionAccept, Rules: []RuleRef{ref}}, nil
			case v1beta1.ClusterNetworkPolicyRuleActionDeny:
				return &Side{Verdict: rule.Deny, Reason: rule.Matched, Tier: tier, Action: rule.ActionDeny, Rules: []RuleRef{ref}}, nil
			case v1beta1.ClusterNetworkPolicyRuleActionPass:
				return nil, []PassRef{{Tier: tier, RuleRef: ref}}
			}
		}
	}
	return nil, nil
}

// inOrder returns the policies of a tier in the order of their evaluation: by priority, and by
// name if the priorities are equal (S71, S78).
func inOrder(policies []*v1beta1.ClusterNetworkPolicy, tier rule.Tier) []*v1beta1.ClusterNetworkPolicy {
	var list []*v1beta1.ClusterNetworkPolicy
	for _, policy := range policies {
		if string(policy.Spec.Tier) == tier.String() {
			list = append(list, policy)
		}
	}
	slices.SortFunc(list, func(a, b *v1beta1.ClusterNetworkPolicy) int {
		return cmp.Or(cmp.Compare(a.Spec.Priority, b.Spec.Priority), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// isSubject reports whether a policy selects the pod under evaluation, e.subject (S74). It ignores
// invalid and unsupported parts of spec.subject, because it is safer to apply a Deny rule to too
// many pods than to too few (S77). If spec.subject does not have exactly one field, it selects all
// pods.
func (e evaluation) isSubject(policy *v1beta1.ClusterNetworkPolicy) bool {
	subject := policy.Spec.Subject
	if (subject.Namespaces == nil) == (subject.Pods == nil) {
		return e.isSubjectNamespace(&metav1.LabelSelector{})
	}
	if subject.Pods != nil {
		return understoodPartMatches(&subject.Pods.PodSelector, e.subject.Labels) && e.isSubjectNamespace(&subject.Pods.NamespaceSelector)
	}
	return e.isSubjectNamespace(subject.Namespaces)
}

func (e evaluation) isSubjectNamespace(selector *metav1.LabelSelector) bool {
	labels, ok := labelsOfNamespace(e.objects, namespaceOf(e.subject))
	return ok && understoodPartMatches(selector, labels)
}

// effect returns the action that a rule of a policy has for the flow, or "" if the rule has no
// effect on the flow. Rules and subjects that are not understood fail closed (S77):
//
//   - If the rule is not understood, an Accept rule has no effect, and a Deny or Pass rule denies
//     every flow.
//   - If only the subject of the policy is not understood, an Accept rule has no effect, and a Deny
//     or Pass rule denies the flows that it matches.
func (e evaluation) effect(policy *v1beta1.ClusterNetworkPolicy, r clusterRule) v1beta1.ClusterNetworkPolicyRuleAction {
	ruleUnderstood := r.understood()
	if ruleUnderstood && !e.matches(r) {
		return ""
	}
	if ruleUnderstood && subjectUnderstood(policy.Spec.Subject) {
		return r.action
	}
	if r.action == v1beta1.ClusterNetworkPolicyRuleActionAccept {
		return ""
	}
	return v1beta1.ClusterNetworkPolicyRuleActionDeny
}

// String returns the text of the side that the test cases of package test/tiers expect. If several
// rules of NetworkPolicies match, the text contains the first of them.
func (s Side) String() string {
	var text strings.Builder
	for _, pass := range s.Passes {
		fmt.Fprintf(&text, "Pass %s %s, ", pass.Tier, pass.RuleRef)
	}
	switch {
	case s.Reason == rule.NoRuleMatched:
		text.WriteString("Denied by " + strings.Join(s.IsolatedBy, " "))
	case s.Reason != rule.Matched:
		text.WriteString(s.Reason.String())
	case s.Tier == rule.NetworkPolicyTier:
		fmt.Fprintf(&text, "Rule %s", s.Rules[0])
	case s.Action == rule.ActionAccept:
		fmt.Fprintf(&text, "Accept %s %s", s.Tier, s.Rules[0])
	default:
		fmt.Fprintf(&text, "Deny %s %s", s.Tier, s.Rules[0])
	}
	return text.String()
}

// String returns the name of the policy and the index, such as "shop/db[0]".
func (r RuleRef) String() string { return fmt.Sprintf("%s[%d]", r.Policy, r.Index) }

// MayDeny reports whether some policy can deny a flow in a direction of the pod that has the given
// address (S81). This is true in two cases: a NetworkPolicy isolates the pod, or a
// ClusterNetworkPolicy has a Deny rule, or a Pass rule that fails closed, for the pod (S77). If no
// pod has the address, MayDeny returns false.
func MayDeny(objects cluster.Objects, address netip.Addr, direction rule.Direction) bool {
	e := evaluation{objects: objects, direction: direction, subject: owner(objects.Pods, address)}
	if e.subject == nil {
		return false
	}
	if e.networkPolicies() != nil {
		return true
	}
	return slices.ContainsFunc(objects.ClusterNetworkPolicies, func(policy *v1beta1.ClusterNetworkPolicy) bool {
		return e.isSubject(policy) && slices.ContainsFunc(clusterRulesOf(policy, direction), func(r clusterRule) bool {
			closed := !r.understood() || !subjectUnderstood(policy.Spec.Subject)
			return r.action == v1beta1.ClusterNetworkPolicyRuleActionDeny || closed && r.action == v1beta1.ClusterNetworkPolicyRuleActionPass
		})
	})
}
