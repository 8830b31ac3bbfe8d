package metrics

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// policyStatuses is a reader that returns the same PolicyStatuses and ClusterPolicyStatuses for
// every request.
type policyStatuses struct {
	namespaced []v1alpha1.PolicyStatus
	cluster    []v1alpha1.ClusterPolicyStatus
}

func (policyStatuses) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return nil
}

func (p policyStatuses) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch list := list.(type) {
	case *v1alpha1.PolicyStatusList:
		list.Items = p.namespaced
	case *v1alpha1.ClusterPolicyStatusList:
		list.Items = p.cluster
	}
	return nil
}

func policy(status metav1.ConditionStatus) v1alpha1.PolicyStatus {
	return v1alpha1.PolicyStatus{Status: with(v1alpha1.ConditionEnforced, status)}
}

// with returns a status with one condition.
func with(kind v1alpha1.ConditionType, status metav1.ConditionStatus) v1alpha1.EnforcementStatus {
	return v1alpha1.EnforcementStatus{Conditions: []metav1.Condition{v1alpha1.NewCondition(kind, status, "Any", "")}}
}

// TestMetrics compares some metrics with the state of the Enforcer and the PolicyStatuses.
func TestMetrics(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := New(policyStatuses{
		namespaced: []v1alpha1.PolicyStatus{policy(metav1.ConditionTrue), policy(metav1.ConditionTrue), policy(metav1.ConditionFalse), {}},
		cluster: []v1alpha1.ClusterPolicyStatus{
			{Status: with(v1alpha1.ConditionEnforced, metav1.ConditionFalse)}, {Status: with(v1alpha1.ConditionUnderstood, metav1.ConditionFalse)},
		},
	})
	c.now = func() time.Time { return now }
	state := &State{
		Status: v1alpha1.EnforcerStatus{
			Nodes: v1alpha1.NodeCounts{Desired: 9, Ready: 7, UpToDate: 5, Unreachable: 1},
			Conditions: []metav1.Condition{
				v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, "Any", ""),
				v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, "Any", ""),
			},
		},
		Owned: true, WithoutPod: 2, Contested: 1, BlockedSince: now.Add(-time.Minute), Uninstalling: true,
	}
	c.Set(state)
	now = now.Add(time.Minute)
	c.Set(state)
	want := map[string]float64{
		`enforcer_condition{status="False",type="Available"}`:     1,
		`enforcer_condition{status="True",type="Available"}`:      0,
		`enforcer_condition{status="True",type="Degraded"}`:       1,
		`enforcer_condition{status="Unknown",type="Progressing"}`: 1,
		`enforcer_nodes{state="desired"}`:                         9,
		`enforcer_nodes{state="ready"}`:                           7,
		`enforcer_nodes{state="up_to_date"}`:                      5,
		`enforcer_nodes{state="unreachable"}`:                     1,
		`enforcer_nodes{state="without_pod"}`:                     2,
		`enforcer_contested_objects`:                              1,
		`enforcer_owned`:                                          1,
		`enforcer_rollout_blocked_seconds`:                        120,
		`enforcer_uninstall_seconds`:                              60,
		`policies{condition="Enforced",status="True"}`:            2,
		`policies{condition="Enforced",status="False"}`:           1,
		`policies{condition="Enforced",status="Unknown"}`:         1,
		`cluster_policies{condition="Enforced",status="True"}`:    0,
		`cluster_policies{condition="Enforced",status="False"}`:   1,
		`cluster_policies{condition="Understood",status="False"}`: 1,
	}
	got := gather(t, c)
	for name, value := range want {
		if seen, ok := got[name]; !ok || seen != value {
			t.Errorf("sluice_%s is %v (%v), want %v", name, seen, ok, value)
		}
	}
	c.Set(&State{})
	if got := gather(t, c); got["enforcer_owned"] != 0 || len(got) != 1+2*9 {
		t.Errorf("an Enforcer of another installation has the metrics %v", got)
	}
	c.Set(nil)
	if got := gather(t, c); len(got) != 2*9 {
		t.Errorf("without an Enforcer, the metrics are %v", got)
	}
}

// gather returns the values of the metrics by name and labels, without the prefix of the names.
func gather(t *testing.T, c *Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+`="`+label.GetValue()+`"`)
			}
			name := strings.TrimPrefix(family.GetName(), "sluice_")
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			out[name] = metric.GetGauge().GetValue()
		}
	}
	return out
}
