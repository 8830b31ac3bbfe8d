package node

import (
	"errors"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/report"
)

// TestDegraded: a dataplane that dropped and repaired before this agent began
// is the state to compare with; what comes later is a change, until it stays.
func TestDegraded(t *testing.T) {
	s := &statusSource{publisher: &publisher{}}
	answers := []struct {
		dropped, repaired uint64
		want              v1alpha1.Reason
	}{
		{7, 3, v1alpha1.ReasonAsExpected},
		{8, 3, v1alpha1.ReasonPacketsDropped},
		{8, 3, v1alpha1.ReasonAsExpected},
		{8, 4, v1alpha1.ReasonRulesRepaired},
		{8, 4, v1alpha1.ReasonAsExpected},
		// It began anew.
		{1, 0, v1alpha1.ReasonAsExpected},
		{2, 0, v1alpha1.ReasonPacketsDropped},
	}
	for i, answer := range answers {
		running := &report.Status{Repairs: answer.repaired}
		running.Verdicts.QueueDropped = answer.dropped
		if got := s.degradedCondition(running); got.Reason != string(answer.want) {
			t.Errorf("answer %d: %s, want %s", i, got.Reason, answer.want)
		}
	}
}

// TestDegradedBetweenAnswers: a status is put together more often than the
// dataplane is asked. What its last answer says holds until the next.
func TestDegradedBetweenAnswers(t *testing.T) {
	s := &statusSource{publisher: &publisher{}}
	for i, dropped := range []uint64{7, 8, 9} {
		running := &report.Status{}
		running.Verdicts.QueueDropped = dropped
		want := v1alpha1.ReasonPacketsDropped
		if i == 0 {
			want = v1alpha1.ReasonAsExpected
		}
		for look := range 3 {
			if got := s.degradedCondition(running); got.Reason != string(want) {
				t.Errorf("answer %d, look %d: %s, want %s", i, look, got.Reason, want)
			}
		}
	}
}

// TestNotPublished: a tree that cannot be written is told by both conditions.
func TestNotPublished(t *testing.T) {
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	c := newConnection(logr.Discard(), m)
	for _, k := range resources {
		c.answered(k)
	}
	s := &statusSource{publisher: &publisher{last: publication{generation: 2}}, connection: c}
	if got := s.syncedCondition(); got.Status != metav1.ConditionTrue {
		t.Fatalf("%+v, want it True", got)
	}
	s.publisher.error = errors.New("no space left on device")
	for _, got := range []metav1.Condition{s.syncedCondition(), s.degradedCondition(nil)} {
		if got.Reason != string(v1alpha1.ReasonPublishingFailed) || got.Message != "no space left on device" {
			t.Errorf("%+v, want reason %s and the error", got, v1alpha1.ReasonPublishingFailed)
		}
	}
}
