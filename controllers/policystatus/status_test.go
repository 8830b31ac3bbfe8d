package policystatus

import (
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/message"
	"github.com/sluicenet/sluice/controllers/policystatus/cluster"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
)

// TestFindingsAreSortedAndBounded checks that the most severe findings come first, and that the
// number and the length of findings meet the limits of a status.
func TestFindingsAreSortedAndBounded(t *testing.T) {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}}
	np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{
		{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/33"}},
	}}}
	found := []lint.Finding{
		{Severity: lint.Note, Check: "note", Message: "a note"},
		{Severity: lint.Error, Check: notUnderstood, Message: "about an older version"},
	}
	for range 2 * maxFindings {
		found = append(found, lint.Finding{
			Severity: lint.Warning, Check: "warning", Field: strings.Repeat("f", 2*maxField), Message: strings.Repeat("m", 2*message.Limit), Fix: "fix it",
		})
	}
	all := convertFindings(readPolicy(np), found)
	if len(all) != 2*maxFindings+2 || all[0].Check != notUnderstood || all[0].Field != "spec.ingress[0].from[0].ipBlock.cidr" || all[1].Check != "warning" {
		t.Fatalf("%d findings, the first %+v and %+v", len(all), all[0], all[1])
	}
	if last := all[len(all)-1]; last.Severity != v1alpha1.SeverityNote || last.Message != "a note" {
		t.Errorf("last finding %+v, want the note", last)
	}
	if len(all[1].Field) > maxField || len(all[1].Message) > message.Limit {
		t.Errorf("field of %d bytes, message of %d", len(all[1].Field), len(all[1].Message))
	}
	s := statusOf(&v1alpha1.EnforcementStatus{}, &observation{Observation: &cluster.Observation{Policy: readPolicy(np)}, findings: all}, metav1.Now())
	if len(s.Findings) != maxFindings {
		t.Errorf("%d findings, want %d", len(s.Findings), maxFindings)
	}
	understood := meta.FindStatusCondition(s.Conditions, string(v1alpha1.ConditionUnderstood))
	if understood.Status != metav1.ConditionFalse || !strings.Contains(understood.Message, "spec.ingress[0].from[0].ipBlock.cidr") {
		t.Errorf("condition %+v, want the field named", understood)
	}
	lintFindings := meta.FindStatusCondition(s.Conditions, string(v1alpha1.ConditionLintFindings))
	if lintFindings.Status != metav1.ConditionTrue || lintFindings.Message != "warnings: 32, notes: 1, in status.findings" {
		t.Errorf("condition %+v", lintFindings)
	}
}

// TestEnforcedSince checks that enforcedSince is the time at which the last node started to
// enforce the current generation.
func TestEnforcedSince(t *testing.T) {
	first := metav1.NewTime(time.Unix(1_800_000_000, 0))
	later := metav1.NewTime(first.Add(time.Minute))
	seen := func(generation int64, lags ...cluster.Lag) *observation {
		return &observation{Observation: &cluster.Observation{Policy: &policy.Policy{Generation: generation}, Pods: 2, Nodes: 2, Lags: lags}}
	}
	s := statusOf(&v1alpha1.EnforcementStatus{}, seen(1), first)
	if !s.EnforcedSince.Equal(&first) {
		t.Errorf("since %s, want %s", s.EnforcedSince, first)
	}
	if s = statusOf(&s, seen(1), later); !s.EnforcedSince.Equal(&first) {
		t.Errorf("since %s after no change, want %s", s.EnforcedSince, first)
	}
	if waiting := statusOf(&s, seen(1, cluster.Lag{Node: "a"}), later); waiting.EnforcedSince != nil || waiting.Nodes.Enforcing != 1 {
		t.Errorf("%+v, want no time while a node is behind", waiting)
	}
	if s = statusOf(&s, seen(2), later); !s.EnforcedSince.Equal(&later) {
		t.Errorf("since %s after a change, want %s", s.EnforcedSince, later)
	}
}
