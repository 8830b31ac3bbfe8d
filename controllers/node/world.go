package node

import (
	"sync"
	"time"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// world is what the agent knows of the cluster, and what of it is not
// published yet.
type world struct {
	node string
	// wake has an element whenever something may have changed.
	wake chan struct{}

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

// apply lets change read objects and bring the snapshot to their state, while
// nobody else does. The times are those of the events behind it.
func (w *world) apply(change func(*policy.Snapshot) error, events ...time.Time) error {
	w.mu.Lock()
	err := change(w.snapshot)
	w.waiting = append(w.waiting, events...)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return err
}

// delta gives what changed in the node's rules since the last call, and the
// times of the events behind it.
func (w *world) delta() (rule.Delta, []time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.waiting
	w.waiting = nil
	return w.compiler.Delta(), events
}

// restart lets the next delta give all rules of the node.
func (w *world) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.compiler.Close()
	w.compiler = w.snapshot.Compile(w.node)
}
