package node

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/internal/trigger"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
)

// state is the state of the cluster as far as policies depend on it, and the
// changes of it that are not published yet.
type state struct {
	node string
	// changed is set after each change.
	changed trigger.Trigger

	// kinds has the changes of each kind. It is complete before the reconcilers
	// start.
	kinds []*changes

	mu       sync.Mutex
	snapshot *policy.Snapshot
	compiler *compile.Compiler
	// waiting has the times of events whose changes are not in a delta yet.
	waiting []time.Time
}

func newState(node string) *state {
	snapshot := policy.NewSnapshot()
	return &state{
		node:     node,
		changed:  trigger.New(),
		snapshot: snapshot,
		compiler: compile.New(snapshot, node),
	}
}

// load calls change, which reads objects and applies them to the snapshot. Calls
// are serialized.
func (s *state) load(change func(*policy.Snapshot)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.snapshot)
}

// apply is load for one changed object of a kind.
func (s *state) apply(c *changes, key types.NamespacedName, change func(*policy.Snapshot) error) error {
	s.mu.Lock()
	// The change counts as applied from here on: no other goroutine sees the
	// snapshot before it is.
	if at, ok := c.take(key); ok {
		s.waiting = append(s.waiting, at)
	}
	err := change(s.snapshot)
	s.mu.Unlock()
	s.changed.Set()
	return err
}

// step has the changes since the previous step.
type step struct {
	// delta has the changes of the node's rules.
	delta rule.Delta
	// events has the times of the events that led to the delta.
	events []time.Time
	// contains has, for each kind, the newest resource version in the snapshot.
	contains map[kind]uint64
}

// step returns the changes since the previous call.
func (s *state) step() step {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := step{delta: s.compiler.Delta(), events: s.waiting, contains: map[kind]uint64{}}
	s.waiting = nil
	for _, c := range s.kinds {
		out.contains[c.kind] = c.contained()
	}
	return out
}

// atMostLast returns the versions that a tree contains, but no version newer than
// the last one from the API server. See changes.atMostLast.
func (s *state) atMostLast(contains map[kind]uint64) map[kind]uint64 {
	out := make(map[kind]uint64, len(contains))
	for _, c := range s.kinds {
		out[c.kind] = c.atMostLast(contains[c.kind])
	}
	return out
}

// restart makes the next delta contain all rules of the node.
func (s *state) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compiler.Close()
	s.compiler = compile.New(s.snapshot, s.node)
}
