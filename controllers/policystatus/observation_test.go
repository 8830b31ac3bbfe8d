package policystatus

import (
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/policystatus/cluster"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/read"
)

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

func readPolicy(np *networkingv1.NetworkPolicy) *policy.Policy {
	p, _ := read.NetworkPolicy(np)
	return p
}

// TestSubjectSelectorWithBrokenRequirement tests row S60 of docs/semantics.md. A policy
// with an invalid requirement isolates the pods that the other requirements match, so the
// nodes of these pods must enforce the policy.
func TestSubjectSelectorWithBrokenRequirement(t *testing.T) {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}}
	np.Spec.PodSelector = metav1.LabelSelector{
		MatchLabels:      map[string]string{"app": "db"},
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: "Near", Values: []string{"back"}}},
	}
	pod := func(app, address string) *policy.Pod {
		return &policy.Pod{
			Namespace: "shop", Name: app, UID: app, Labels: label.Of(map[string]string{"app": app}), Node: "a",
			Running: true, Addresses: []netip.Addr{netip.MustParseAddr(address)},
		}
	}
	index := cluster.New()
	index.SetPolicy(readPolicy(np))
	index.SetPod(pod("db", "10.0.0.1"))
	index.SetPod(pod("web", "10.0.0.2"))
	seen := index.Observe(named("db"))
	if seen.Pods != 1 || seen.Nodes != 1 || len(seen.Lags) != 1 || seen.Lags[0].Node != "a" {
		t.Fatalf("observation %+v: want 1 pod on node a", seen)
	}
	status := statusOf(&v1alpha1.EnforcementStatus{}, &observation{Observation: seen, findings: convertFindings(readPolicy(np), nil)}, metav1.Now())
	for kind, want := range map[v1alpha1.ConditionType]v1alpha1.Reason{
		v1alpha1.ConditionEnforced:   v1alpha1.ReasonNodesNotEnforcing,
		v1alpha1.ConditionUnderstood: v1alpha1.ReasonNotUnderstood,
	} {
		if c := meta.FindStatusCondition(status.Conditions, string(kind)); c.Status != metav1.ConditionFalse || c.Reason != string(want) {
			t.Errorf("condition %+v, want it False with reason %s", c, want)
		}
	}
}
