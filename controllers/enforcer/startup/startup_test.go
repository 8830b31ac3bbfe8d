package startup_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/startup"
)

func TestTolerations(t *testing.T) {
	all := v1alpha1.Toleration{Operator: v1alpha1.TolerationExists}
	own := v1alpha1.Toleration{Key: v1alpha1.TaintNotReady, Operator: v1alpha1.TolerationExists}
	equal := v1alpha1.Toleration{Key: v1alpha1.TaintNotReady, Operator: v1alpha1.TolerationEqual}
	schedule := v1alpha1.Toleration{Operator: v1alpha1.TolerationExists, Effect: v1alpha1.TaintNoSchedule}
	for name, c := range map[string]struct {
		on       bool
		in, want []v1alpha1.Toleration
	}{
		"off":           {false, []v1alpha1.Toleration{equal}, []v1alpha1.Toleration{equal}},
		"every taint":   {true, []v1alpha1.Toleration{all}, []v1alpha1.Toleration{all}},
		"the taint":     {true, []v1alpha1.Toleration{own}, []v1alpha1.Toleration{own}},
		"one value":     {true, []v1alpha1.Toleration{equal}, []v1alpha1.Toleration{equal, own}},
		"one effect":    {true, []v1alpha1.Toleration{schedule}, []v1alpha1.Toleration{schedule, own}},
		"no toleration": {true, nil, []v1alpha1.Toleration{own}},
	} {
		t.Run(name, func(t *testing.T) {
			got := startup.Tolerations(&v1alpha1.EnforcerSpec{StartupTaint: c.on, Tolerations: c.in})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("tolerations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotStarted(t *testing.T) {
	report := func(responding metav1.ConditionStatus, bootID string, ready, synced metav1.ConditionStatus) *v1alpha1.NodeEnforcer {
		return &v1alpha1.NodeEnforcer{Status: v1alpha1.NodeEnforcerStatus{
			BootID: bootID,
			Conditions: []metav1.Condition{
				v1alpha1.NewCondition(v1alpha1.ConditionReady, ready, v1alpha1.ReasonEnforcing, "ready is "+string(ready)),
				v1alpha1.NewCondition(v1alpha1.ConditionSynced, synced, v1alpha1.ReasonWatching, ""),
				v1alpha1.NewCondition(v1alpha1.ConditionResponding, responding, v1alpha1.ReasonAgentResponding, ""),
			},
		}}
	}
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	for name, c := range map[string]struct {
		node   string
		report *v1alpha1.NodeEnforcer
		want   string
	}{
		"started":                      {"b", report(yes, "b", yes, yes), ""},
		"no report":                    {"b", nil, "no agent has reported yet"},
		"not ready":                    {"b", report(yes, "b", no, yes), "ready is False"},
		"not synced":                   {"b", report(yes, "b", yes, no), "the published generation is not up to date yet"},
		"silent":                       {"b", report(no, "b", yes, yes), "its agent has not reported for more than 1m0s: the failure policy decides about its new pods"},
		"before the boot":              {"b", report(yes, "a", yes, yes), "its agent has not reported since the node booted"},
		"no boot ID in the report":     {"b", report(yes, "", yes, yes), "its agent has not reported since the node booted"},
		"no boot ID of node and agent": {"", report(yes, "", yes, yes), "its agent has not reported since the node booted"},
	} {
		t.Run(name, func(t *testing.T) {
			node := &corev1.Node{}
			node.Status.NodeInfo.BootID = c.node
			if got := startup.NotStarted(node, c.report); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
