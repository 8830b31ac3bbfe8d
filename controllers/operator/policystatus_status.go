package operator

import (
	"cmp"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
)

// The limits of a status.
const (
	maxFindings = 16
	maxField    = 256
	maxMessage  = 1024
)

// observation is what is known of a policy.
type observation struct {
	policy *networkingv1.NetworkPolicy
	// pods is how many are selected.
	pods int
	// nodes is how many nodes have a selected pod with an address; lags are those
	// that do not enforce the policy as it is.
	nodes    int
	lags     []lag
	findings []v1alpha1.Finding
}

// policyStatus gives the status of a policy. Times of what stays the same stay.
func policyStatus(old *v1alpha1.PolicyStatusStatus, o *observation, now metav1.Time) v1alpha1.PolicyStatusStatus {
	generation := o.policy.Generation
	out := v1alpha1.PolicyStatusStatus{
		ObservedGeneration: generation,
		Pods:               int32(o.pods),
		Nodes:              v1alpha1.PolicyNodes{Needed: int32(o.nodes), Enforcing: int32(o.nodes - len(o.lags))},
		Rules:              int32(len(o.policy.Spec.Ingress) + len(o.policy.Spec.Egress)),
		Findings:           o.findings[:min(len(o.findings), maxFindings)],
		Conditions:         slices.Clone(old.Conditions),
	}
	enforced := o.enforced()
	if enforced.Status == metav1.ConditionTrue && o.nodes > 0 {
		out.EnforcedSince = old.EnforcedSince
		if out.EnforcedSince == nil || old.ObservedGeneration != generation {
			out.EnforcedSince = &now
		}
	}
	for _, condition := range []metav1.Condition{enforced, o.understood(), o.suspicious()} {
		condition.ObservedGeneration = generation
		condition.Message = shortened(condition.Message, maxMessage)
		condition.LastTransitionTime = now
		meta.SetStatusCondition(&out.Conditions, condition)
	}
	return out
}

// onlyBehind reports whether a policy that was enforced is known to be no other
// than it was, on nodes that enforce, and yet seems to be behind.
func (o *observation) onlyBehind(old *v1alpha1.PolicyStatusStatus) bool {
	return len(o.lags) > 0 && !slices.ContainsFunc(o.lags, func(l lag) bool { return l.trouble != "" }) &&
		meta.IsStatusConditionTrue(old.Conditions, string(v1alpha1.ConditionEnforced)) &&
		old.ObservedGeneration == o.policy.Generation && old.Pods == int32(o.pods) && old.Nodes.Needed == int32(o.nodes)
}

func (o *observation) enforced() metav1.Condition {
	enforcing := fmt.Sprintf("%d of %d nodes enforce it as it is now", o.nodes-len(o.lags), o.nodes)
	condition := func(status metav1.ConditionStatus, reason v1alpha1.Reason, message string) metav1.Condition {
		return v1alpha1.NewCondition(v1alpha1.ConditionEnforced, status, reason, message)
	}
	troubled := slices.DeleteFunc(slices.Clone(o.lags), func(l lag) bool { return l.trouble == "" })
	switch {
	case o.pods == 0:
		return condition(metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "no pod is selected")
	case o.nodes == 0:
		return condition(metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "no selected pod has an address yet")
	case len(troubled) > 0:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonNodesNotEnforcing,
			fmt.Sprintf("%s: %s; %s", nodeNames(troubled), troubled[0].trouble, enforcing))
	case len(o.lags) > 0:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonWaitingForNodes,
			fmt.Sprintf("waiting for %s; %s", nodeNames(o.lags), enforcing))
	}
	return condition(metav1.ConditionTrue, v1alpha1.ReasonEnforcedEverywhere, enforcing)
}

func (o *observation) understood() metav1.Condition {
	var fields []string
	for _, f := range o.findings {
		if f.Severity == v1alpha1.SeverityError {
			fields = append(fields, f.Field)
		}
	}
	if len(fields) > 0 {
		return v1alpha1.NewCondition(v1alpha1.ConditionUnderstood, metav1.ConditionFalse, v1alpha1.ReasonNotUnderstood,
			few(fields, ", ")+": allows nothing until it is mended")
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionUnderstood, metav1.ConditionTrue, v1alpha1.ReasonAsExpected, "every part has a meaning")
}

func (o *observation) suspicious() metav1.Condition {
	counts := map[v1alpha1.Severity]int{}
	for _, f := range o.findings {
		counts[f.Severity]++
	}
	warnings, notes := counts[v1alpha1.SeverityWarning], counts[v1alpha1.SeverityNote]
	if warnings+notes > 0 {
		return v1alpha1.NewCondition(v1alpha1.ConditionSuspicious, metav1.ConditionTrue, v1alpha1.ReasonFindings,
			fmt.Sprintf("warnings: %d, notes: %d, in status.findings", warnings, notes))
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionSuspicious, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "nothing was found")
}

// notUnderstood is the check of what package policy cannot understand.
const notUnderstood = "not-understood"

// findingsOf puts the problems of a policy before what lint found, the gravest
// first.
func findingsOf(np *networkingv1.NetworkPolicy, found []lint.Finding) []v1alpha1.Finding {
	var out []v1alpha1.Finding
	add := func(severity v1alpha1.Severity, check, field, message string) {
		out = append(out, v1alpha1.Finding{
			Severity: severity, Check: check, Field: shortened(field, maxField), Message: shortened(message, maxMessage),
		})
	}
	// Problems are in the policy alone, so a snapshot of nothing else has them.
	alone := policy.NewSnapshot()
	alone.UpsertPolicy(np)
	for _, p := range alone.Problems() {
		add(v1alpha1.SeverityError, notUnderstood, p.Field, p.Message)
	}
	for _, f := range found {
		if f.Check == notUnderstood {
			continue
		}
		message := f.Message
		if f.Mend != "" {
			message += ": " + f.Mend
		}
		add(severities[f.Severity], f.Check, f.Field, message)
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.Finding) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
	return out
}

var severities = map[lint.Severity]v1alpha1.Severity{
	lint.Error: v1alpha1.SeverityError, lint.Warning: v1alpha1.SeverityWarning, lint.Note: v1alpha1.SeverityNote,
}

var rank = map[v1alpha1.Severity]int{v1alpha1.SeverityError: 0, v1alpha1.SeverityWarning: 1, v1alpha1.SeverityNote: 2}
