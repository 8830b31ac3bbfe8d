package nodeenforcer

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/report"
)

// TestDegradedWhileCountersIncrease checks that counts from before the start of the agent
// do not make the node degraded, and that later increases do.
func TestDegradedWhileCountersIncrease(t *testing.T) {
	s := &Source{}
	statuses := []struct {
		dropped, repaired uint64
		want              v1alpha1.Reason
	}{
		{7, 3, v1alpha1.ReasonAsExpected},
		{8, 3, v1alpha1.ReasonPacketsDropped},
		{8, 3, v1alpha1.ReasonAsExpected},
		{8, 4, v1alpha1.ReasonRulesRepaired},
		{8, 4, v1alpha1.ReasonAsExpected},
		// The dataplane restarted.
		{1, 0, v1alpha1.ReasonAsExpected},
		{2, 0, v1alpha1.ReasonPacketsDropped},
	}
	for i, status := range statuses {
		running := &report.Status{Repairs: status.repaired}
		running.Verdicts.QueueDropped = status.dropped
		if got := s.degradedCondition(&Observation{Dataplane: running}); got.Reason != string(status.want) {
			t.Errorf("status %d: %s, want %s", i, got.Reason, status.want)
		}
	}
}

// TestDegradedBetweenStatuses checks that the condition stays the same if it is computed
// several times between two statuses of the dataplane.
func TestDegradedBetweenStatuses(t *testing.T) {
	s := &Source{}
	for i, dropped := range []uint64{7, 8, 9} {
		running := &report.Status{}
		running.Verdicts.QueueDropped = dropped
		want := v1alpha1.ReasonPacketsDropped
		if i == 0 {
			want = v1alpha1.ReasonAsExpected
		}
		for call := range 3 {
			if got := s.degradedCondition(&Observation{Dataplane: running}); got.Reason != string(want) {
				t.Errorf("status %d, call %d: %s, want %s", i, call, got.Reason, want)
			}
		}
	}
}

// TestPublishingFailedIsInBothConditions checks both conditions of a node on which the tree
// cannot be written.
func TestPublishingFailedIsInBothConditions(t *testing.T) {
	s, o := &Source{}, &Observation{Published: Publication{Generation: 2}}
	if got := syncedCondition(o); got.Status != metav1.ConditionTrue {
		t.Fatalf("%+v, want it True", got)
	}
	o.PublishErr = errors.New("no space left on device")
	for _, got := range []metav1.Condition{syncedCondition(o), s.degradedCondition(o)} {
		if got.Reason != string(v1alpha1.ReasonPublishingFailed) || got.Message != "no space left on device" {
			t.Errorf("%+v, want reason %s and the error", got, v1alpha1.ReasonPublishingFailed)
		}
	}
}

// TestBridgesThatBypassTheRules checks that a node does not report that it enforces policies
// while packets or frames between the pods of a bridge bypass the rules.
func TestBridgesThatBypassTheRules(t *testing.T) {
	s := &Source{}
	for name, c := range map[string]struct {
		bridges         *report.Bridges
		ready, degraded v1alpha1.Reason
		status          metav1.ConditionStatus
	}{
		"no bridge":     {nil, v1alpha1.ReasonEnforcing, v1alpha1.ReasonAsExpected, metav1.ConditionTrue},
		"filtered":      {&report.Bridges{Names: []string{"cni0"}}, v1alpha1.ReasonEnforcing, v1alpha1.ReasonAsExpected, metav1.ConditionTrue},
		"br_netfilter":  {&report.Bridges{Names: []string{"cni0"}, Disabled: []string{"net.bridge.bridge-nf-call-iptables"}}, v1alpha1.ReasonBridgesUnfiltered, v1alpha1.ReasonAsExpected, metav1.ConditionFalse},
		"tagged frames": {&report.Bridges{Names: []string{"cni0"}, TaggedFrames: "no bridge tables"}, v1alpha1.ReasonEnforcing, v1alpha1.ReasonBridgesUnfiltered, metav1.ConditionTrue},
	} {
		running := &report.Status{Bridges: c.bridges}
		generation := &v1alpha1.Generation{Number: 1}
		ready := readyCondition(&v1alpha1.NodeEnforcerStatus{Published: generation, Acknowledged: generation}, running)
		if ready.Reason != string(c.ready) || ready.Status != c.status {
			t.Errorf("%s: Ready is %s (%s), want %s (%s)", name, ready.Status, ready.Reason, c.status, c.ready)
		}
		if degraded := s.degradedCondition(&Observation{Dataplane: running}); degraded.Reason != string(c.degraded) {
			t.Errorf("%s: Degraded has reason %s, want %s", name, degraded.Reason, c.degraded)
		}
	}
}

// TestRejectedTree checks the conditions of a node whose dataplane cannot use the published tree,
// with and without an earlier generation that remains enforced.
func TestRejectedTree(t *testing.T) {
	for name, c := range map[string]struct {
		acknowledged *v1alpha1.Generation
		ready        metav1.ConditionStatus
	}{
		"no generation is enforced":         {nil, metav1.ConditionFalse},
		"an earlier generation is enforced": {&v1alpha1.Generation{Number: 1}, metav1.ConditionTrue},
	} {
		t.Run(name, func(t *testing.T) {
			running := &report.Status{Rejected: &report.RejectedTree{Reason: "tree 7 is damaged"}}
			status := &v1alpha1.NodeEnforcerStatus{Published: &v1alpha1.Generation{Number: 7}, Acknowledged: c.acknowledged}
			ready := readyCondition(status, running)
			if ready.Status != c.ready || c.ready == metav1.ConditionFalse && ready.Reason != string(v1alpha1.ReasonTreeRejected) {
				t.Errorf("%+v, want status %s", ready, c.ready)
			}
			degraded := (&Source{}).degradedCondition(&Observation{Dataplane: running})
			const want = "the dataplane cannot use the published tree: tree 7 is damaged"
			if degraded.Status != metav1.ConditionTrue || degraded.Reason != string(v1alpha1.ReasonTreeRejected) || degraded.Message != want {
				t.Errorf("%+v, want reason %s and the error", degraded, v1alpha1.ReasonTreeRejected)
			}
		})
	}
}
