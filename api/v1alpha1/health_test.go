package v1alpha1_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// TestNotEnforcing checks the texts about nodes that are not known to enforce policies. The
// last report determines what the text about a silent agent contains about new pods.
func TestNotEnforcing(t *testing.T) {
	now := time.Now()
	ready := v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "enforcing")
	held := func(status metav1.ConditionStatus, reason v1alpha1.Reason) metav1.Condition {
		return v1alpha1.NewCondition(v1alpha1.ConditionHeldPacketsEvaluated, status, reason, "")
	}
	const silent = "its agent has not reported for more than 1m0s: "
	for name, c := range map[string]struct {
		age        time.Duration
		conditions []metav1.Condition
		want       string
	}{
		"new":                    {0, nil, "no agent has reported yet"},
		"enforcing":              {time.Minute, []metav1.Condition{ready, held(metav1.ConditionTrue, v1alpha1.ReasonHolding)}, ""},
		"not holding":            {0, []metav1.Condition{ready, held(metav1.ConditionFalse, v1alpha1.ReasonHoldingDisabled)}, ""},
		"silent":                 {61 * time.Second, []metav1.Condition{ready, held(metav1.ConditionTrue, v1alpha1.ReasonHolding)}, silent + "the failure policy decides about its new pods"},
		"silent, timed out":      {time.Hour, []metav1.Condition{ready, held(metav1.ConditionFalse, v1alpha1.ReasonHoldTimedOut)}, silent + "the failure policy decides about its new pods"},
		"silent, hold 0s":        {time.Hour, []metav1.Condition{ready, held(metav1.ConditionFalse, v1alpha1.ReasonHoldingDisabled)}, silent + "no policy applies to its new pods"},
		"silent, no CNI results": {time.Hour, []metav1.Condition{ready, held(metav1.ConditionFalse, v1alpha1.ReasonNoCNIResults)}, silent + "no policy applies to its new pods"},
		"silent, empty results":  {time.Hour, []metav1.Condition{ready, held(metav1.ConditionFalse, v1alpha1.ReasonEmptyCNIResults)}, silent + "no policy applies to its new pods"},
	} {
		t.Run(name, func(t *testing.T) {
			n := v1alpha1.NodeEnforcer{Status: v1alpha1.NodeEnforcerStatus{
				Heartbeat: &metav1.Time{Time: now.Add(-c.age)}, Conditions: c.conditions,
			}}
			if got := n.NotEnforcing(now); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
