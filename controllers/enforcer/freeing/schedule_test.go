package freeing_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluicenet/sluice/controllers/enforcer/freeing"
)

var start = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestWait checks that a node is freed after the wait, and that the wait starts again if the node
// was selected or unavailable in the meantime.
func TestWait(t *testing.T) {
	var s freeing.Schedule
	state := freeing.State{Now: start, After: time.Minute, Unselected: []string{"a"}, Nodes: 3}
	plan := s.Plan(state)
	equal(t, "waiting", plan.Waiting, "a")
	equal(t, "new", plan.New, "a")
	if due := plan.Due["a"]; !due.Equal(start.Add(time.Minute)) || plan.Next(start.Add(10*time.Second)) != 50*time.Second {
		t.Errorf("due at %s, next in %s", due, plan.Next(start.Add(10*time.Second)))
	}
	state.Now = start.Add(59 * time.Second)
	plan = s.Plan(state)
	equal(t, "free before the end of the wait", plan.Free)
	equal(t, "new in the second plan", plan.New)

	state.Unselected = nil
	s.Plan(state)
	state.Unselected, state.Now = []string{"a"}, start.Add(61*time.Second)
	plan = s.Plan(state)
	equal(t, "waiting after it was selected", plan.Waiting, "a")

	state.Now, state.Unavailable = start.Add(10*time.Minute), []string{"a"}
	plan = s.Plan(state)
	equal(t, "kept", plan.Kept, "a")
	equal(t, "enforced", plan.Enforced(), "a")
	state.Unavailable = nil
	plan = s.Plan(state)
	equal(t, "waiting when available again", plan.Waiting, "a")
	state.Now = state.Now.Add(time.Minute)
	plan = s.Plan(state)
	equal(t, "free", plan.Free, "a")
}

// TestLimit checks that at most a tenth of the nodes is freed at the same time, and that a node
// keeps its place until it has been freed.
func TestLimit(t *testing.T) {
	var s freeing.Schedule
	var all []string
	for i := range 30 {
		all = append(all, fmt.Sprintf("n%02d", i))
	}
	state := freeing.State{Now: start, Unselected: all[5:], Nodes: 30}
	plan := s.Plan(state)
	equal(t, "free", plan.Free, "n05", "n06", "n07")
	if len(plan.Queued) != 22 {
		t.Errorf("%d nodes are queued, want 22", len(plan.Queued))
	}
	state.Begun, state.Unselected = plan.Free, slices.Concat(all[:5], all[6:])
	plan = s.Plan(state)
	equal(t, "free when one of them is done", plan.Free, "n00", "n06", "n07")
	for nodes, want := range map[int]int{0: 1, 1: 1, 9: 1, 20: 2, 1000: 100} {
		if got := freeing.Limit(nodes); got != want {
			t.Errorf("limit for %d nodes: %d, want %d", nodes, got, want)
		}
	}
}

// TestRestart checks that a new operator waits again, except for nodes that are already being
// freed.
func TestRestart(t *testing.T) {
	var s freeing.Schedule
	plan := s.Plan(freeing.State{Now: start, After: time.Minute, Unselected: []string{"a", "b"}, Begun: []string{"b"}, Nodes: 30})
	equal(t, "free", plan.Free, "b")
	equal(t, "waiting", plan.Waiting, "a")
	equal(t, "new", plan.New, "a")
}

// TestRejected checks that nothing is freed while freeing is rejected, and that the wait starts
// again afterwards.
func TestRejected(t *testing.T) {
	var s freeing.Schedule
	state := freeing.State{Now: start, After: time.Minute, Unselected: []string{"a", "b"}, Begun: []string{"b"}, Nodes: 30, Rejected: true}
	s.Plan(state)
	state.Now = start.Add(time.Hour)
	plan := s.Plan(state)
	equal(t, "kept", plan.Kept, "a", "b")
	equal(t, "free", plan.Free)
	state.Rejected, state.Begun = false, nil
	plan = s.Plan(state)
	equal(t, "waiting", plan.Waiting, "a", "b")
}
