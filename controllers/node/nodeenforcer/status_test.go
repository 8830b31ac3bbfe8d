package nodeenforcer

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/report"
)

// TestDegradedWhileCountersIncrease checks that counts from before the start of the agent
// do not make the node degraded, and that later increases do.
func TestDegradedWhileCountersIncrease(t *testing.T) {
	s, start := &Source{}, time.Now()
	statuses := []struct {
		dropped, repaired uint64
		want              v1alpha1.Reason
	}{
		{7, 3, v1alpha1.ReasonAsExpected},
		{8, 3, v1alpha1.ReasonPacketsDropped},
		{8, 3, v1alpha1.ReasonPacketsDropped},
		{8, 3, v1alpha1.ReasonAsExpected},
		{8, 4, v1alpha1.ReasonRulesRepaired},
		{8, 4, v1alpha1.ReasonRulesRepaired},
		{8, 4, v1alpha1.ReasonAsExpected},
		// The dataplane restarted.
		{1, 0, v1alpha1.ReasonAsExpected},
		{2, 0, v1alpha1.ReasonPacketsDropped},
	}
	for i, status := range statuses {
		running := &report.Status{Repairs: status.repaired}
		running.Verdicts.QueueDropped = status.dropped
		at := start.Add(time.Duration(i) * 40 * time.Second)
		if got := s.degradedCondition(&Observation{At: at, Dataplane: running}); got.Reason != string(status.want) {
			t.Errorf("status %d: %s, want %s", i, got.Reason, status.want)
		}
	}
}

// TestBehind checks that the reason of the condition Ready changes only if the dataplane stays
// behind, and not with each generation.
func TestBehind(t *testing.T) {
	start := time.Now()
	s := &Source{StateDir: t.TempDir()}
	for second := range 60 {
		now := start.Add(time.Duration(second) * time.Second)
		// Until second 30, the dataplane acknowledges the previous generation.
		s.acknowledged = &v1alpha1.Generation{Number: int64(min(second, 30)) + 1}
		published := &v1alpha1.Generation{Number: int64(second) + 2}
		s.observeProgress(published, now)
		if behind, want := now.Sub(s.progressed) > behindDelay, second > 40; behind != want {
			t.Errorf("behind after %d s is %t", second, behind)
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
			if got := s.degradedCondition(&Observation{At: time.Now(), Dataplane: running}); got.Reason != string(want) {
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
		ready := readyCondition(&v1alpha1.NodeEnforcerStatus{Published: generation, Acknowledged: generation}, running, false)
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
			ready := readyCondition(status, running, true)
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

// TestPause checks the minimum time between two writes for each kind of change.
func TestPause(t *testing.T) {
	ready := v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "")
	before := v1alpha1.NodeEnforcerStatus{
		Published: &v1alpha1.Generation{Number: 1}, Acknowledged: &v1alpha1.Generation{Number: 1},
		Enforced: []byte("12345678"), Conditions: []metav1.Condition{ready},
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.NodeEnforcerStatus)
		want   time.Duration
	}{
		"condition":   {func(s *v1alpha1.NodeEnforcerStatus) { s.Conditions[0].Status = metav1.ConditionFalse }, 0},
		"enforced":    {func(s *v1alpha1.NodeEnforcerStatus) { s.Enforced = []byte("87654321") }, 11 * time.Second},
		"pods":        {func(s *v1alpha1.NodeEnforcerStatus) { s.Pods.Local++ }, 11 * time.Second},
		"generations": {func(s *v1alpha1.NodeEnforcerStatus) { s.Published.Number, s.Acknowledged.Number = 9, 9 }, 330 * time.Second},
		"counters":    {func(s *v1alpha1.NodeEnforcerStatus) { s.Verdicts.Denied++ }, 330 * time.Second},
	} {
		after := before.DeepCopy()
		c.change(after)
		if got := (&Writer{jitter: 0.5}).pause(&before, after); got != c.want {
			t.Errorf("%s: %v after the last write, want %v", name, got, c.want)
		}
	}
}

// TestVersions checks that the status contains the versions of the agent and of the dataplane, and
// that a new version is written without delay.
func TestVersions(t *testing.T) {
	s := &Source{StateDir: t.TempDir()}
	status, err := s.Status(&Observation{At: time.Now(), Dataplane: &report.Status{Version: "v1.2.0"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := (v1alpha1.NodeVersions{Agent: "development", Dataplane: "v1.2.0"}); status.Versions != want {
		t.Errorf("versions %+v, want %+v", status.Versions, want)
	}
	upgraded := *status.DeepCopy()
	upgraded.Versions.Dataplane = "v1.3.0"
	if changed(&status, status.DeepCopy()) || !changed(&status, &upgraded) {
		t.Error("only a new version is a change")
	}
}
