package node

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// world is what the agent knows of the cluster, and what of it is not
// published yet.
type world struct {
	node string
	// wake has an element whenever something may have changed.
	wake chan struct{}

	// kinds are the changes of each kind, set before anything runs.
	kinds []*changes

	mu       sync.Mutex
	snapshot *policy.Snapshot
	compiler *policy.Compiler
	// waiting are the times of the events behind the changes that no delta
	// holds yet.
	waiting []time.Time
}

func newWorld(node string) *world {
	snapshot := policy.NewSnapshot()
	return &world{
		node:     node,
		wake:     make(chan struct{}, 1),
		snapshot: snapshot,
		compiler: snapshot.Compile(node),
	}
}

// load lets change read objects and bring the snapshot to their state, while
// nobody else does.
func (w *world) load(change func(*policy.Snapshot)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w.snapshot)
}

// apply is load for one object of a kind, which changed.
func (w *world) apply(c *changes, key types.NamespacedName, change func(*policy.Snapshot) error) error {
	w.mu.Lock()
	// The change counts as made from here on, for nobody sees the world before
	// it is.
	if at, ok := c.take(key); ok {
		w.waiting = append(w.waiting, at)
	}
	err := change(w.snapshot)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return err
}

// step is what the world came to since the step before.
type step struct {
	// delta is what changed in the node's rules.
	delta rule.Delta
	// events are the times of the events behind it.
	events []time.Time
	// contains says how new the objects are that the world holds.
	contains map[kind]uint64
}

func (w *world) step() step {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := step{delta: w.compiler.Delta(), events: w.waiting, contains: map[kind]uint64{}}
	w.waiting = nil
	for _, c := range w.kinds {
		out.contains[c.kind] = c.contained()
	}
	return out
}

// known gives what a tree contains as far as the API server still knows of it.
func (w *world) known(contains map[kind]uint64) map[kind]uint64 {
	out := make(map[kind]uint64, len(contains))
	for _, c := range w.kinds {
		out[c.kind] = c.known(contains[c.kind])
	}
	return out
}

// restart lets the next delta give all rules of the node.
func (w *world) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.compiler.Close()
	w.compiler = w.snapshot.Compile(w.node)
}
