package enforcer

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/steady"
	"github.com/sluicenet/sluice/controllers/message"
)

// available returns the condition Available. If the condition is True, a node makes it False only
// after the node has not enforced policies for some time. Nodes that are not Ready have no effect
// on the condition, because a dead node is no failure of Sluice.
func (r *rollup) available() metav1.Condition {
	text := fmt.Sprintf("%d of %d nodes enforce", r.counts.Ready, r.counts.Desired)
	missing := ""
	if len(r.missing) > 0 {
		missing = fmt.Sprintf("%d of %d nodes do not enforce: %s", len(r.missing), r.counts.Desired, message.Join(r.missing, "; "))
	}
	switch {
	case r.counts.Desired == 0 && r.noMatch:
		return v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNoNodes,
			"no node matches nodeSelector and tolerations: policies are enforced only on nodes that were selected before")
	case r.counts.Desired == 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNoNodes,
			"no node matches nodeSelector and tolerations: no policy is enforced anywhere")
	case missing != "" && (r.lasting || !r.wasAvailable):
		return v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNodesMissing, missing+r.unreachableText())
	case missing != "":
		text += "; just now, " + missing
	case r.counts.Ready == 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNodesMissing, "no node enforces"+r.unreachableText())
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, text+r.unreachableText())
}

// unreachableText returns a text that names the unreachable nodes, or "" if there are none.
func (r *rollup) unreachableText() string {
	if len(r.unreachable) == 0 {
		return ""
	}
	return fmt.Sprintf("; %d nodes are not Ready and do not count: %s", len(r.unreachable), message.Join(r.unreachable, ", "))
}

func (r *rollup) progressing() metav1.Condition {
	text := fmt.Sprintf("%d of %d nodes run the current spec", r.counts.UpToDate, r.counts.Desired)
	if r.outdated() > 0 && len(r.blocked) > 0 {
		text += "; blocked by " + message.Join(r.blocked, ", ")
	}
	text += r.unreachableText()
	for _, p := range []*pending{r.freeing, r.tainted} {
		if p == nil || len(p.nodes) == 0 {
			continue
		}
		text += fmt.Sprintf("; %s, on %d nodes: %s", p.what, len(p.nodes), message.Join(p.nodes, "; "))
	}
	switch {
	case r.outdated() > 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonRollingOut, text)
	case r.freeing != nil && len(r.freeing.nodes) > 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonFreeingNodes, text)
	case r.tainted != nil:
		return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonNodesStarting, text)
	case r.counts.Desired == 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonNoNodes, "no node is selected")
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes, text)
}

// selectorMatchesNoNode is the message for a nodeSelector that is rejected.
const selectorMatchesNoNode = "nodeSelector matches no node: the rules stay on all nodes that have rules; " +
	"correct the nodeSelector or the labels of the nodes, or delete the Enforcer to remove the rules"

// degraded returns the condition Degraded. Its message reports objects that cannot be applied, a
// nodeSelector that matches no node, contested objects and faulty nodes, in this order.
func (r *rollup) degraded() metav1.Condition {
	reason, texts := v1alpha1.ReasonNodesDegraded, steady.Lines(r.faults)
	if len(r.conflicts) > 0 {
		reason, texts = v1alpha1.ReasonConflict, slices.Concat(r.conflicts, texts)
	}
	if r.noMatch {
		reason, texts = v1alpha1.ReasonSelectorMatchesNoNode, append([]string{selectorMatchesNoNode}, texts...)
	}
	if failure := r.faults[applyFault]; failure != "" {
		reason = v1alpha1.ReasonApplyFailed
		texts = append([]string{failure}, slices.DeleteFunc(texts, func(text string) bool { return text == failure })...)
	}
	if len(texts) == 0 {
		return v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "every node works as expected")
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, reason,
		message.Truncate(message.Join(texts, "; "), message.Limit))
}
