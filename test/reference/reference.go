// Package reference contains a slow and simple evaluator. Tests compare its decisions with the
// decisions of the compiled tree. The evaluator reads the API objects for every flow and follows
// docs/semantics.md. It uses neither an index nor a cache. It shares no code with the packages
// under test, except the types of dataplane/flow and dataplane/rule, which the comparison needs. In
// comments, S and a number, such as S04, refer to a row of docs/semantics.md.
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

// Decision contains the verdict for a flow, and the two sides from which the verdict follows.
type Decision struct {
	Verdict         rule.Verdict
	Egress, Ingress Side
}

// Side contains the verdict of the egress or the ingress side of a flow.
type Side struct {
	Verdict rule.Verdict
	// Reason is the reason of the verdict: NotIsolated, Matched, NoRuleMatched, SameNode,
	// SamePod or External.
	Reason rule.Reason
	// Tier is the tier that decided the verdict. It is valid only if Reason is Matched or
	// NoRuleMatched.
	Tier rule.Tier
	// Action is the action of the rule that decided the verdict: ActionAccept or ActionDeny. If
	// Reason is not Matched, Action is 0.
	Action rule.Action
	// Rules contains the rule that decided the verdict. If Tier is NetworkPolicyTier, it
	// contains all rules that match, in no particular order. If Reason is not Matched, Rules is
	// empty.
	Rules []RuleRef
	// IsolatedBy contains the names of the NetworkPolicies that isolate the pod in this direction,
	// in ascending order. If the NetworkPolicy tier did not decide the verdict, IsolatedBy is empty.
	IsolatedBy []string
	// Passes contains the Pass rules that matched before the verdict was decided, in the order
	// of their tiers. It contains at most one rule of each tier.
	Passes []PassRef
}

// RuleRef refers to a rule. Policy is the name of a NetworkPolicy as "namespace/name", or the
// name of a ClusterNetworkPolicy. Index is the index of the rule among the policy's rules for
// the same direction.
type RuleRef struct {
	Policy string
	Index  int
}

// PassRef refers to a Pass rule of a tier.
type PassRef struct {
	Tier rule.Tier
	RuleRef
}

// Evaluate returns the decision for a flow.
func Evaluate(objects cluster.Objects, f flow.Flow) Decision {
	decision := Decision{Egress: evaluateEgress(objects, f), Ingress: evaluateIngress(objects, f)}
	if decision.Egress.Verdict == rule.Allow && decision.Ingress.Verdict == rule.Allow {
		decision.Verdict = rule.Allow
	}
	return decision
}

func evaluateEgress(objects cluster.Objects, f flow.Flow) Side {
	source := owner(objects.Pods, f.Src)
	if source == nil || isAddressOfNode(objects, f.Src, source.Spec.NodeName) {
		return Side{Verdict: rule.Allow, Reason: rule.External}
	}
	destination := seenFrom(objects, source.Spec.NodeName, f.Dst)
	// On the egress side, names of ports are resolved to ports of the destination pod (S33).
	e := evaluation{objects: objects, flow: f, direction: rule.Egress, subject: source, peer: end{f.Dst, destination}, target: destination}
	return e.side()
}

func evaluateIngress(objects cluster.Objects, f flow.Flow) Side {
	destination := owner(objects.Pods, f.Dst)
	if destination == nil || isAddressOfNode(objects, f.Dst, destination.Spec.NodeName) {
		return Side{Verdict: rule.Allow, Reason: rule.External}
	}
	if isAddressOfNode(objects, f.Src, destination.Spec.NodeName) { // Ingress from the pod's own node is always allowed (S40, S79).
		return Side{Verdict: rule.Allow, Reason: rule.SameNode}
	}
	source := seenFrom(objects, destination.Spec.NodeName, f.Src)
	e := evaluation{objects: objects, flow: f, direction: rule.Ingress, subject: destination, peer: end{f.Src, source}, target: destination}
	return e.side()
}

// seenFrom returns the pod that has an address, from the point of view of a node. The result is nil
// if the address is an address of the node itself.
func seenFrom(objects cluster.Objects, node string, address netip.Addr) *corev1.Pod {
	if isAddressOfNode(objects, address, node) {
		return nil
	}
	return owner(objects.Pods, address)
}

// end is the source or the destination of a flow. The `pod` field is nil if the address belongs
// to no pod.
type end struct {
	address netip.Addr
	pod     *corev1.Pod
}

// evaluation contains a flow, and the direction for which the flow is evaluated.
type evaluation struct {
	objects   cluster.Objects
	flow      flow.Flow
	direction rule.Direction
	// The `subject` field is the pod whose policies are evaluated. The `peer` field is the other
	// end of the flow.
	subject *corev1.Pod
	peer    end
	// target is the pod at the destination of the flow, or nil if the destination is not a pod.
	// Names of ports in rules are resolved to ports of the target.
	target *corev1.Pod
}

// samePod reports whether the source and the destination are the same pod. Such a flow reaches a
// node only through a Service. No NetworkPolicy applies to it, but the other tiers do (S41, S80).
func (e evaluation) samePod() bool { return e.subject == e.peer.pod }

// side evaluates the tiers in their order (S70).
func (e evaluation) side() Side {
	admin, passes := e.clusterTier(rule.AdminTier)
	if admin != nil {
		return *admin
	}
	if networkPolicies := e.networkPolicies(); networkPolicies != nil && !e.samePod() {
		networkPolicies.Passes = passes
		return *networkPolicies
	}
	baseline, more := e.clusterTier(rule.BaselineTier)
	passes = append(passes, more...)
	if baseline != nil {
		baseline.Passes = passes
		return *baseline
	}
	// No tier decided, so the flow is allowed (S01, S70, S73).
	if e.samePod() {
		return Side{Verdict: rule.Allow, Reason: rule.SamePod, Passes: passes}
	}
	return Side{Verdict: rule.Allow, Reason: rule.NotIsolated, Passes: passes}
}

// networkPolicies evaluates the NetworkPolicy tier. If no NetworkPolicy isolates the subject, it
// returns nil, because then the tier does not decide (S72).
func (e evaluation) networkPolicies() *Side {
	side := &Side{Tier: rule.NetworkPolicyTier}
	for _, policy := range e.objects.Policies {
		if !isolates(policy, e.direction) || !selectsSubject(policy, e.subject) {
			continue
		}
		name := namespaceOf(policy) + "/" + policy.Name
		side.IsolatedBy = append(side.IsolatedBy, name)
		for index, r := range rulesOf(policy, e.direction) {
			if !r.broken() && r.allowsPeer(e.objects, namespaceOf(policy), e.peer) && r.allowsPort(e.flow, e.target) {
				side.Rules = append(side.Rules, RuleRef{Policy: name, Index: index})
			}
		}
	}
	slices.Sort(side.IsolatedBy)
	switch {
	case len(side.IsolatedBy) == 0: // No policy isolates the pod (S01).
		return nil
	case len(side.Rules) > 0: // At least one rule matches (S02).
		side.Verdict, side.Reason, side.Action = rule.Allow, rule.Matched, rule.ActionAccept
	default:
		side.Verdict, side.Reason = rule.Deny, rule.NoRuleMatched
	}
	return side
}

// isolates reports whether the policy isolates the selected pods in a direction. A policy
// without policyTypes isolates for ingress. If it has an egress rule, it also isolates for
// egress (S04). A policy with an unknown type isolates for both directions (S60).
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

// selectsSubject reports whether the policy selects a pod (S03, S07). It ignores invalid
// requirements of the selector, because it is safer to isolate too many pods than too few pods
// (S60).
func selectsSubject(policy *networkingv1.NetworkPolicy, subject *corev1.Pod) bool {
	if namespaceOf(subject) != namespaceOf(policy) {
		return false
	}
	return understoodPartMatches(&policy.Spec.PodSelector, subject.Labels)
}

// namespaceOf returns the namespace of an object. If the namespace is empty, it returns
// "default", which is the default of the API server (S04).
func namespaceOf(object metav1.Object) string {
	if object.GetNamespace() == "" {
		return "default"
	}
	return object.GetNamespace()
}
