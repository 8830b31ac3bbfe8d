package status_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/query/status"
)

// TestClusterStatusOfClusterNetworkPolicies checks that a ClusterNetworkPolicy counts as a policy, and
// that its problems are listed.
func TestClusterStatusOfClusterNetworkPolicies(t *testing.T) {
	condition := func(value metav1.ConditionStatus) v1alpha1.EnforcementStatus {
		return v1alpha1.EnforcementStatus{Conditions: []metav1.Condition{{
			Type: string(v1alpha1.ConditionEnforced), Status: value, Reason: "WaitingForNodes", Message: "node n1 enforces an older version",
		}}}
	}
	s := status.NewCluster("production", status.Reports{
		Policies: []v1alpha1.PolicyStatus{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}, Status: condition(metav1.ConditionTrue)}},
		ClusterPolicies: []v1alpha1.ClusterPolicyStatus{
			{ObjectMeta: metav1.ObjectMeta{Name: "first"}, Status: condition(metav1.ConditionFalse)},
			{ObjectMeta: metav1.ObjectMeta{Name: "second"}, Status: condition(metav1.ConditionTrue)},
		},
	})
	var text strings.Builder
	if err := s.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	const want = "3 policies, 1 problem:\n" +
		"  POLICY                      PROBLEM          MESSAGE\n" +
		"  ClusterNetworkPolicy first  WaitingForNodes  node n1 enforces an older version\n"
	if !strings.Contains(text.String(), want) || s.Enforced {
		t.Errorf("enforced %t, text %s, want %s", s.Enforced, &text, want)
	}
}
