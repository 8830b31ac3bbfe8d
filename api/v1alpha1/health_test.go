package v1alpha1_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// TestNotEnforcing checks the texts about nodes that may not enforce policies. If an agent is
// silent, the text also describes what applies to new pods, according to the last report of the
// agent.
func TestNotEnforcing(t *testing.T) {
	ready := v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "enforcing")
	responding := v1alpha1.NewCondition(v1alpha1.ConditionResponding, metav1.ConditionTrue, v1alpha1.ReasonAgentResponding, "")
	silent := v1alpha1.NewCondition(v1alpha1.ConditionResponding, metav1.ConditionFalse, v1alpha1.ReasonAgentSilent, "")
	held := func(status metav1.ConditionStatus, reason v1alpha1.Reason) metav1.Condition {
		return v1alpha1.NewCondition(v1alpha1.ConditionHeldPacketsEvaluated, status, reason, "")
	}
	const text = "its agent has not reported for more than 1m0s: "
	for name, c := range map[string]struct {
		conditions []metav1.Condition
		want       string
	}{
		"new":                    {nil, "no agent has reported yet"},
		"never reported":         {[]metav1.Condition{silent}, "no agent has reported yet"},
		"enforcing":              {[]metav1.Condition{ready, responding, held(metav1.ConditionTrue, v1alpha1.ReasonHolding)}, ""},
		"not observed yet":       {[]metav1.Condition{ready}, ""},
		"not holding":            {[]metav1.Condition{ready, held(metav1.ConditionFalse, v1alpha1.ReasonHoldingDisabled)}, ""},
		"silent":                 {[]metav1.Condition{ready, silent, held(metav1.ConditionTrue, v1alpha1.ReasonHolding)}, text + "the failure policy decides about its new pods"},
		"silent, timed out":      {[]metav1.Condition{ready, silent, held(metav1.ConditionFalse, v1alpha1.ReasonHoldTimedOut)}, text + "the failure policy decides about its new pods"},
		"silent, hold 0s":        {[]metav1.Condition{ready, silent, held(metav1.ConditionFalse, v1alpha1.ReasonHoldingDisabled)}, text + "no policy applies to its new pods"},
		"silent, no CNI results": {[]metav1.Condition{ready, silent, held(metav1.ConditionFalse, v1alpha1.ReasonNoCNIResults)}, text + "no policy applies to its new pods"},
		"silent, empty results":  {[]metav1.Condition{ready, silent, held(metav1.ConditionFalse, v1alpha1.ReasonEmptyCNIResults)}, text + "no policy applies to its new pods"},
	} {
		t.Run(name, func(t *testing.T) {
			n := v1alpha1.NodeEnforcer{Status: v1alpha1.NodeEnforcerStatus{Conditions: c.conditions}}
			if got := n.NotEnforcing(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
