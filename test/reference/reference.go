// Package reference is the slow and obvious judge: what docs/semantics.md
// says, read off the API objects anew for every flow. It keeps no index, does
// nothing early, and shares no code with the packages it judges; only the
// nouns of dataplane/flow and dataplane/rule are the same, so that answers can
// be compared. The number before a sentence is a row of docs/semantics.md.
package reference

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
)

// Answer is the verdict on a flow and both sides it is made of.
type Answer struct {
	Verdict         rule.Verdict
	Egress, Ingress Side
}

// Side is the verdict of one end of the flow.
type Side struct {
	Verdict rule.Verdict
	// Reason is NotIsolated, Matched, NoRuleMatched, SameNode, SamePod or
	// External.
	Reason rule.Reason
	// Rules are all that match, by policy and index; the reference knows no
	// first one. Empty unless Reason is Matched.
	Rules []RuleRef
	// IsolatedBy names the policies that isolate the pod in this direction,
	// ascending. Empty unless Reason is Matched or NoRuleMatched.
	IsolatedBy []string
}

// RuleRef names a rule: the policy as "namespace/name" and the rule's place in
// the policy's list for the direction.
type RuleRef struct {
	Policy string
	Index  int
}

// Judge gives the verdict on a flow between the objects as they are.
func Judge(objects cluster.Objects, f flow.Flow) Answer {
	answer := Answer{Egress: judgeEgress(objects, f), Ingress: judgeIngress(objects, f)}
	if answer.Egress.Verdict == rule.Allow && answer.Ingress.Verdict == rule.Allow {
		answer.Verdict = rule.Allow
	}
	return answer
}

func judgeEgress(objects cluster.Objects, f flow.Flow) Side {
	source := owner(objects.Pods, f.Src)
	if source == nil || isAddressOfNode(objects, f.Src, source.Spec.NodeName) {
		return Side{Verdict: rule.Allow, Reason: rule.External}
	}
	destination := seenFrom(objects, source.Spec.NodeName, f.Dst)
	if source == destination { // S41
		return Side{Verdict: rule.Allow, Reason: rule.SamePod}
	}
	// S33: on egress it is the peer whose ports have names.
	return judgePod(objects, f, rule.Egress, source, end{f.Dst, destination}, destination)
}

func judgeIngress(objects cluster.Objects, f flow.Flow) Side {
	destination := owner(objects.Pods, f.Dst)
	if destination == nil || isAddressOfNode(objects, f.Dst, destination.Spec.NodeName) {
		return Side{Verdict: rule.Allow, Reason: rule.External}
	}
	if isAddressOfNode(objects, f.Src, destination.Spec.NodeName) { // S40
		return Side{Verdict: rule.Allow, Reason: rule.SameNode}
	}
	source := seenFrom(objects, destination.Spec.NodeName, f.Src)
	if source == destination { // S41
		return Side{Verdict: rule.Allow, Reason: rule.SamePod}
	}
	return judgePod(objects, f, rule.Ingress, destination, end{f.Src, source}, destination)
}

// seenFrom finds the pod that has the address, as a node sees it: what the
// node has itself belongs to no pod.
func seenFrom(objects cluster.Objects, node string, address netip.Addr) *corev1.Pod {
	if isAddressOfNode(objects, address, node) {
		return nil
	}
	return owner(objects.Pods, address)
}

// end is the other end of a flow as its subject sees it: an address and,
// perhaps, the pod that has it.
type end struct {
	address netip.Addr
	pod     *corev1.Pod
}

// judgePod judges one direction of one pod. Target is the pod whose port is
// meant, or nil where that end is no pod.
func judgePod(objects cluster.Objects, f flow.Flow, direction rule.Direction, subject *corev1.Pod, peer end, target *corev1.Pod) Side {
	var side Side
	for _, policy := range objects.Policies {
		if !isolates(policy, direction) || !selectsSubject(policy, subject) {
			continue
		}
		name := namespaceOf(policy) + "/" + policy.Name
		side.IsolatedBy = append(side.IsolatedBy, name)
		for index, r := range rulesOf(policy, direction) {
			if !r.broken() && r.allowsPeer(objects, namespaceOf(policy), peer) && r.allowsPort(f, target) {
				side.Rules = append(side.Rules, RuleRef{Policy: name, Index: index})
			}
		}
	}
	slices.Sort(side.IsolatedBy)
	switch {
	case len(side.IsolatedBy) == 0: // S01
		side.Verdict, side.Reason = rule.Allow, rule.NotIsolated
	case len(side.Rules) > 0: // S02
		side.Verdict, side.Reason = rule.Allow, rule.Matched
	default:
		side.Verdict, side.Reason = rule.Deny, rule.NoRuleMatched
	}
	return side
}

// isolates reports whether the policy has the direction. S04: without
// policyTypes it has ingress, and egress if it has an egress rule. S60: with a
// type that does not exist it has both.
func isolates(policy *networkingv1.NetworkPolicy, direction rule.Direction) bool {
	if len(policy.Spec.PolicyTypes) == 0 {
		return direction == rule.Ingress || len(policy.Spec.Egress) > 0
	}
	for _, policyType := range policy.Spec.PolicyTypes {
		switch policyType {
		case networkingv1.PolicyTypeIngress:
			if direction == rule.Ingress {
				return true
			}
		case networkingv1.PolicyTypeEgress:
			if direction == rule.Egress {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// selectsSubject: S03, S07. S60: a requirement that cannot be understood is as
// good as absent, so that the policy selects rather more than less.
func selectsSubject(policy *networkingv1.NetworkPolicy, subject *corev1.Pod) bool {
	if namespaceOf(subject) != namespaceOf(policy) {
		return false
	}
	for _, q := range requirementsOf(&policy.Spec.PodSelector) {
		if !q.broken() && !q.matches(subject.Labels) {
			return false
		}
	}
	return true
}

// namespaceOf: S04, what the API server would have filled in.
func namespaceOf(object metav1.Object) string {
	if object.GetNamespace() == "" {
		return "default"
	}
	return object.GetNamespace()
}
