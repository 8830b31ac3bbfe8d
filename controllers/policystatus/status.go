package policystatus

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/message"
	"github.com/sluicenet/sluice/policy/lint"
)

// The limits of a status in the custom resource definition.
const (
	maxFindings = 16
	maxField    = 256
)

// statusOf returns the new status of a policy. If the status of a condition does not
// change, the condition keeps the time of its last transition.
func statusOf(old *v1alpha1.EnforcementStatus, o *observation, now metav1.Time) v1alpha1.EnforcementStatus {
	generation := o.Generation
	out := v1alpha1.EnforcementStatus{
		ObservedGeneration: generation,
		Pods:               int32(o.pods),
		Nodes:              v1alpha1.PolicyNodes{Needed: int32(o.nodes), Enforcing: int32(o.nodes - len(o.lags))},
		Rules:              int32(len(o.policy.Ingress) + len(o.policy.Egress)),
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
	for _, condition := range []metav1.Condition{enforced, o.understood(), o.lintFindings()} {
		condition.ObservedGeneration = generation
		condition.Message = message.Truncate(condition.Message, message.Limit)
		condition.LastTransitionTime = now
		meta.SetStatusCondition(&out.Conditions, condition)
	}
	return out
}

func (o *observation) enforced() metav1.Condition {
	enforcing := fmt.Sprintf("%d of %d nodes enforce the current version", o.nodes-len(o.lags), o.nodes)
	condition := func(status metav1.ConditionStatus, reason v1alpha1.Reason, text string) metav1.Condition {
		return v1alpha1.NewCondition(v1alpha1.ConditionEnforced, status, reason, text)
	}
	problems := slices.DeleteFunc(slices.Clone(o.lags), func(l lag) bool { return l.problem == "" })
	switch {
	case o.pods == 0:
		return condition(metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "no pod is selected")
	case o.nodes == 0:
		return condition(metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "no selected pod has an address yet")
	case len(problems) > 0:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonNodesNotEnforcing,
			fmt.Sprintf("%s: %s; %s", nodeNames(problems), problems[0].problem, enforcing))
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
			message.Join(fields, ", ")+": allows nothing until it is fixed")
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionUnderstood, metav1.ConditionTrue, v1alpha1.ReasonAsExpected, "every part is understood")
}

func (o *observation) lintFindings() metav1.Condition {
	counts := map[v1alpha1.Severity]int{}
	for _, f := range o.findings {
		counts[f.Severity]++
	}
	warnings, notes := counts[v1alpha1.SeverityWarning], counts[v1alpha1.SeverityNote]
	if warnings+notes > 0 {
		return v1alpha1.NewCondition(v1alpha1.ConditionLintFindings, metav1.ConditionTrue, v1alpha1.ReasonFindings,
			fmt.Sprintf("warnings: %d, notes: %d, in status.findings", warnings, notes))
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionLintFindings, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "lint found nothing")
}

// notUnderstood is the name of the check for parts of a policy that cannot be understood.
const notUnderstood = "not-understood"

// convertFindings returns the errors in a policy and the findings of lint. The most severe come
// first. The errors are read from the policy itself, because the findings of lint can be about
// an older version.
func convertFindings(np networkPolicy, found []lint.Finding) []v1alpha1.Finding {
	var out []v1alpha1.Finding
	add := func(severity v1alpha1.Severity, check, field, text string) {
		out = append(out, v1alpha1.Finding{
			Severity: severity, Check: check, Field: message.Truncate(field, maxField), Message: message.Truncate(text, message.Limit),
		})
	}
	for _, e := range np.policy.Errors {
		add(v1alpha1.SeverityError, notUnderstood, e.Field, e.Message)
	}
	for _, f := range found {
		if f.Check == notUnderstood {
			continue
		}
		text := f.Message
		if f.Fix != "" {
			text += ": " + f.Fix
		}
		if f.More > 0 {
			text = fmt.Sprintf("%s (the same applies to %d more places of the policy)", text, f.More)
		}
		add(severities[f.Severity], f.Check, f.Field, text)
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.Finding) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
	return out
}

var severities = map[lint.Severity]v1alpha1.Severity{
	lint.Error: v1alpha1.SeverityError, lint.Warning: v1alpha1.SeverityWarning, lint.Note: v1alpha1.SeverityNote,
}

var rank = map[v1alpha1.Severity]int{v1alpha1.SeverityError: 0, v1alpha1.SeverityWarning: 1, v1alpha1.SeverityNote: 2}
