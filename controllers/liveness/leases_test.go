package liveness

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSilence checks when an agent becomes silent and when it responds again.
func TestSilence(t *testing.T) {
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	l := newLeases(time.Minute)
	want := func(node string, responding metav1.ConditionStatus) {
		t.Helper()
		if got := l.responding(node); got != responding {
			t.Errorf("%s: responding is %s, want %s", node, got, responding)
		}
	}
	// An operator that has just started cannot determine when the Lease was last renewed.
	l.add("a", at(0))
	if l.observe("a", "1", true, at(1)) {
		t.Error("the first list changes the result")
	}
	want("a", metav1.ConditionUnknown)
	if got := l.expire(at(59)); got != nil {
		t.Errorf("silent after 59 s: %v", got)
	}
	if !l.observe("a", "2", false, at(59)) || l.observe("a", "3", false, at(70)) {
		t.Error("the result must change with the first change of the Lease only")
	}
	want("a", metav1.ConditionTrue)
	// If a client changes only the metadata of the Lease, the observed content stays the
	// same.
	l.observe("a", "3", false, at(100))
	if got := l.expire(at(129)); got != nil {
		t.Errorf("silent 59 s after the last change: %v", got)
	}
	l.add("b", at(129))
	if got := l.expire(at(130)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("silent 60 s after the last change: %v, want a", got)
	}
	want("a", metav1.ConditionFalse)
	want("b", metav1.ConditionUnknown)
	if got := l.expire(at(131)); got != nil {
		t.Errorf("silent again: %v", got)
	}
	if !l.observe("a", "4", false, at(140)) {
		t.Error("the Lease changed, but the result did not")
	}
	want("a", metav1.ConditionTrue)
	// No Lease of node b exists.
	if got := l.expire(at(189)); !slices.Equal(got, []string{"b"}) {
		t.Errorf("silent: %v, want b", got)
	}
	l.forget("b")
	want("b", metav1.ConditionUnknown)
}

// TestOutageOfAPIServer checks that no agent becomes silent because of an outage of the API server,
// as long as the agents renew their Leases within 50 seconds after the outage.
func TestOutageOfAPIServer(t *testing.T) {
	start := time.Now()
	l := newLeases(time.Minute)
	l.observe("a", "1", false, start)
	const outage = 200
	for second := range outage + 70 {
		now := start.Add(time.Duration(second) * time.Second)
		if second == outage+50 {
			l.observe("a", "2", false, now)
		}
		if second%5 == 0 && l.suspicious(now) && second < outage {
			l.setUnreachable(now)
		}
		if got := l.expire(now); got != nil {
			t.Fatalf("%v silent after %d s", got, second)
		}
	}
}
