package status_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/query/status"
)

// TestWideClusterStatus checks that the wide text lists nodes and policies without problems.
func TestWideClusterStatus(t *testing.T) {
	ready := []metav1.Condition{{Type: string(v1alpha1.ConditionReady), Status: metav1.ConditionTrue}}
	enforced := []metav1.Condition{{Type: string(v1alpha1.ConditionEnforced), Status: metav1.ConditionTrue}}
	s := status.NewCluster("production", status.Reports{
		Nodes: []v1alpha1.NodeEnforcer{
			{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}, Status: v1alpha1.NodeEnforcerStatus{
				Conditions: ready, Published: &v1alpha1.Generation{Number: 8}, Acknowledged: &v1alpha1.Generation{Number: 8}, Policies: 3,
				Pods: v1alpha1.PodCounts{Local: 30, Isolated: 12}, Verdicts: v1alpha1.Verdicts{Allowed: 100, Denied: 7},
				Kernel: &v1alpha1.Kernel{Release: "6.18.0"},
			}},
			{ObjectMeta: metav1.ObjectMeta{Name: "node-b"}},
		},
		Policies: []v1alpha1.PolicyStatus{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}, Status: v1alpha1.EnforcementStatus{
			Conditions: enforced, Pods: 4, Nodes: v1alpha1.PolicyNodes{Needed: 2, Enforcing: 2}, Rules: 5,
		}}},
		ClusterPolicies: []v1alpha1.ClusterPolicyStatus{{ObjectMeta: metav1.ObjectMeta{Name: "first"}, Status: v1alpha1.EnforcementStatus{Conditions: enforced}}},
	})
	var text strings.Builder
	if err := s.WriteWide(&text); err != nil {
		t.Fatal(err)
	}
	_, tables, _ := strings.Cut(text.String(), "2 policies, no problems\n")
	want := `
NODE    READY  SYNCED  RESPONDING  PUBLISHED  ENFORCED  PODS  ISOLATED  POLICIES  ALLOWED  DENIED  DROPPED  KERNEL
node-a  True   .       .                   8         8    30        12         3      100       7        0  6.18.0
node-b  .      .       .                   .         .     0         0         0        0       0        0  .

POLICY                      ENFORCED  UNDERSTOOD  PODS  NODES  ENFORCING  RULES  FINDINGS
shop/db                     True      .              4      2          2      5         0
ClusterNetworkPolicy first  True      .              0      0          0      0         0
`
	if diff := cmp.Diff(want, tables); diff != "" {
		t.Errorf("wide (-want +got):\n%s", diff)
	}
}

// TestWideNodeStatus checks that the wide text contains verdict counters that are 0.
func TestWideNodeStatus(t *testing.T) {
	s := status.NewNode(report.Status{Verdicts: report.Stats{Sides: []report.SideCount{
		{Direction: "egress", Family: "IPv6", Protocol: "SCTP", Verdict: "Deny"},
		{Direction: "egress", Family: "IPv6", Protocol: "SCTP", Verdict: "Allow"},
	}}}, time.Now())
	var short, wide strings.Builder
	if err := s.WriteText(&short); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteWide(&wide); err != nil {
		t.Fatal(err)
	}
	const row = "\negress    IPv6    SCTP          0     0\n"
	if strings.Contains(short.String(), "SCTP") || !strings.Contains(wide.String(), row) {
		t.Errorf("text:\n%s\nwide:\n%s", &short, &wide)
	}
}
