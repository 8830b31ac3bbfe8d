package policystatus

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/message"
	"github.com/sluicenet/sluice/controllers/policystatus/cluster"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
)

// The limits that the custom resource definition sets for a status.
const (
	maxFindings = 16
	maxField    = 256
)

// observation contains the state from which the status of one policy is computed.
type observation struct {
	*cluster.Observation
	findings []v1alpha1.Finding
}

// statusOf returns the new status of a policy. If the status of a condition does not
// change, the condition keeps the time of its last transition.
func statusOf(old *v1alpha1.EnforcementStatus, o *observation, now metav1.Time) v1alpha1.EnforcementStatus {
	generation := o.Policy.Generation
	out := v1alpha1.EnforcementStatus{
		ObservedGeneration: generation,
		Pods:               int32(o.Pods),
		Nodes:              v1alpha1.PolicyNodes{Needed: int32(o.Nodes), Enforcing: int32(o.Nodes - len(o.Lags))},
		Rules:              int32(len(o.Policy.Ingress) + len(o.Policy.Egress)),
		Findings:           o.findings[:min(len(o.findings), maxFindings)],
		Conditions:         slices.Clone(old.Conditions),
	}
	enforced := o.enforced()
	if enforced.Status == metav1.ConditionTrue && o.Nodes > 0 {
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
	enforcing := fmt.Sprintf("%d of %d nodes enforce the current version", o.Nodes-len(o.Lags), o.Nodes)
	condition := func(status metav1.ConditionStatus, reason v1alpha1.Reason, text string) metav1.Condition {
		return v1alpha1.NewCondition(v1alpha1.ConditionEnforced, status, reason, text)
	}
	problems := slices.DeleteFunc(slices.Clone(o.Lags), func(l cluster.Lag) bool { return l.Problem == "" })
	switch {
	case o.Pods == 0:
		return condition(metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "no pod is selected")
	case o.Nodes == 0:
		return condition(metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "no selected pod has an address yet")
	case len(problems) > 0:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonNodesNotEnforcing,
			fmt.Sprintf("%s: %s; %s", nodeNames(problems), problems[0].Problem, enforcing))
	case len(o.Lags) > 0:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonWaitingForNodes,
			fmt.Sprintf("waiting for %s; %s", nodeNames(o.Lags), enforcing))
	}
	return condition(metav1.ConditionTrue, v1alpha1.ReasonEnforcedEverywhere, enforcing)
}

// nodeNames returns a text with the names of the first few nodes in a list.
func nodeNames(lags []cluster.Lag) string {
	names := make([]string, 0, len(lags))
	for _, l := range lags {
		names = append(names, l.Node)
	}
	if len(names) == 1 {
		return "node " + names[0]
	}
	return "nodes " + message.Join(names, ", ")
}

func (o *observation) understood() metav1.Condition {
	var fields []string
	for _, f := range o.findings {
		if f.Severity == v1alpha1.SeverityError {
			fields = append(fields, f.Field)
		}
	}
	if len(fields) > 0 {
		consequence := ": allows nothing until it is fixed"
		if o.Policy.Scope == "" {
			consequence = ": see status.findings"
		}
		return v1alpha1.NewCondition(v1alpha1.ConditionUnderstood, metav1.ConditionFalse, v1alpha1.ReasonNotUnderstood,
			message.Join(fields, ", ")+consequence)
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

// notUnderstood is the name of the check for invalid parts of a policy.
const notUnderstood = "not-understood"

// convertFindings returns the errors in a policy and the findings of lint, the most severe
// first. It reads the errors from the policy itself, because the findings of lint can be about
// an older version.
func convertFindings(p *policy.Policy, found []lint.Finding) []v1alpha1.Finding {
	var out []v1alpha1.Finding
	add := func(severity v1alpha1.Severity, check, field, text string) {
		out = append(out, v1alpha1.Finding{
			Severity: severity, Check: check, Field: message.Truncate(field, maxField), Message: message.Truncate(text, message.Limit),
		})
	}
	for _, e := range p.Errors {
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
