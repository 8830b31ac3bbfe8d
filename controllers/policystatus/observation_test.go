package policystatus

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// TestSubjectSelectorWithBrokenRequirement tests row S60 of docs/semantics.md. A policy
// with an invalid requirement isolates the pods that the other requirements match, so the
// nodes of these pods must enforce the policy.
func TestSubjectSelectorWithBrokenRequirement(t *testing.T) {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db", ResourceVersion: "7"}}
	np.Spec.PodSelector = metav1.LabelSelector{
		MatchLabels:      map[string]string{"app": "db"},
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: "Near", Values: []string{"back"}}},
	}
	pod := func(app, address string) corev1.Pod {
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: app, ResourceVersion: "5", Labels: map[string]string{"app": app}},
			Spec:       corev1.PodSpec{NodeName: "a"},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: address},
		}
	}
	pods := []corev1.Pod{pod("db", "10.0.0.1"), pod("web", "10.0.0.2")}
	r := &Reconciler{policies: newPolicies(), revisions: newRevisions(), enforcement: newEnforcement()}
	r.policies.set(readPolicy(np))
	if names := r.policies.selecting(readPod(&pods[0])); len(names) != 1 || names[0].Name != "db" {
		t.Errorf("policies that select the pod: %v, want db", names)
	}
	selected, required := r.requirements(readPolicy(np), pods)
	if want := (versions{policies: "7", pods: "5"}); selected != 1 || required["a"] != want {
		t.Fatalf("%d pods, required %v: want 1 pod and %v on node a", selected, required, want)
	}
	name := named("db")
	seen := &observation{
		networkPolicy: readPolicy(np), pods: selected, nodes: len(required), lags: r.enforcement.require(name, required), findings: convertFindings(readPolicy(np), nil),
	}
	status := statusOf(&v1alpha1.EnforcementStatus{}, seen, metav1.Now())
	for kind, want := range map[v1alpha1.ConditionType]v1alpha1.Reason{
		v1alpha1.ConditionEnforced:   v1alpha1.ReasonNodesNotEnforcing,
		v1alpha1.ConditionUnderstood: v1alpha1.ReasonNotUnderstood,
	} {
		if c := meta.FindStatusCondition(status.Conditions, string(kind)); c.Status != metav1.ConditionFalse || c.Reason != string(want) {
			t.Errorf("condition %+v, want it False with reason %s", c, want)
		}
	}
}
