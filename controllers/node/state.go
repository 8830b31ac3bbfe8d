package node

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/controllers/node/enforced"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/internal/trigger"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
)

// state contains the objects that policies depend on, and the changes that are not
// published yet.
type state struct {
	node string
	// changed is a trigger that is set after each change of the state.
	changed trigger.Trigger

	mu       sync.Mutex
	snapshot *policy.Snapshot
	// kinds contains the event sources of all kinds that the agent reads.
	kinds    []*changes
	compiler *compile.Compiler
	enforced *enforced.Policies
	// waiting contains the times of events whose changes are not in a delta yet.
	waiting []time.Time
}

func newState(node string) *state {
	snapshot := policy.NewSnapshot()
	return &state{
		node:     node,
		changed:  trigger.New(),
		snapshot: snapshot,
		compiler: compile.New(snapshot, node),
		enforced: enforced.New(snapshot, node),
	}
}

// watch adds the event source of a kind. The method `unwatch` removes it.
func (s *state) watch(c *changes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds = append(s.kinds, c)
}

func (s *state) unwatch(c *changes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds = slices.DeleteFunc(s.kinds, func(other *changes) bool { return other == c })
}

// load calls the function `change`, which reads objects and applies them to the snapshot. Only one
// such function runs at a time.
func (s *state) load(change func(*policy.Snapshot)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.snapshot)
}

// apply calls the function `change`, which applies one changed object to the snapshot.
func (s *state) apply(c *changes, key types.NamespacedName, change func(*policy.Snapshot) error) error {
	s.mu.Lock()
	// The method `take` removes the queued event of the object before the change is applied. This
	// is safe because no other goroutine can access the snapshot until the mutex is unlocked.
	if at, ok := c.take(key); ok {
		s.waiting = append(s.waiting, at)
	}
	err := change(s.snapshot)
	s.mu.Unlock()
	s.changed.Set()
	return err
}

// setSandboxes replaces the pod sandboxes of the node. The `list` parameter is nil if the sandboxes
// are not known. The addresses in `routed` are passed to policy.Snapshot.SetRouted. If `routed` is
// nil, the snapshot keeps the addresses from an earlier call.
func (s *state) setSandboxes(list []policy.Sandbox, routed []netip.Addr) {
	s.mu.Lock()
	s.waiting = append(s.waiting, time.Now())
	if routed != nil {
		s.snapshot.SetRouted(s.node, routed)
	}
	s.snapshot.SetSandboxes(s.node, list)
	s.mu.Unlock()
	s.changed.Set()
}

// step contains the changes since the previous step.
type step struct {
	// delta contains the changes of the node's rules.
	delta rule.Delta
	// events contains the times of the events that caused the changes in `delta`.
	events []time.Time
	// contains maps each kind to the newest resource version in the snapshot.
	contains map[kind]uint64
	// enforced contains the digests of the policies that select a pod on the node.
	enforced []byte
	// lingering is the number of lingering pods in the snapshot.
	lingering int
}

// step returns the changes since the previous call.
func (s *state) step() step {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := step{
		delta: s.compiler.Delta(), events: s.waiting, contains: map[kind]uint64{},
		enforced: s.enforced.Digests(), lingering: s.snapshot.LingeringPods(),
	}
	s.waiting = nil
	for _, c := range s.kinds {
		out.contains[c.kind] = c.contained()
	}
	return out
}

// atMostLast returns a copy of `contains`. If a version is higher than the last version that
// the API server sent, the copy contains this last version instead. See changes.atMostLast.
func (s *state) atMostLast(contains map[kind]uint64) map[kind]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[kind]uint64, len(contains))
	for _, c := range s.kinds {
		out[c.kind] = c.atMostLast(contains[c.kind])
	}
	return out
}

// restart resets the compiler, so that the next delta contains all rules of the node.
func (s *state) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compiler.Close()
	s.compiler = compile.New(s.snapshot, s.node)
}
