package liveness

import (
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// leases records when the Lease of each node last changed. It is safe for concurrent use.
type leases struct {
	// timeout is the time after which an agent counts as silent if it has not renewed its Lease.
	timeout time.Duration

	mu    sync.Mutex
	nodes map[string]*heartbeat
	// unreachable is the time at which the API server was last found to be unreachable. The
	// operator could not observe changes of Leases before this time, so an unchanged Lease
	// proves nothing about its agent.
	unreachable time.Time
}

// heartbeat is the observation of one agent.
type heartbeat struct {
	// content is the last observed content of the Lease, or "" before the first observation.
	content string
	// changed is the time of the last observed change, or of the first observation.
	changed time.Time
	// responding is Unknown until the Lease has changed, or until it has not changed for the
	// timeout.
	responding metav1.ConditionStatus
}

func newLeases(timeout time.Duration) *leases {
	return &leases{timeout: timeout, nodes: map[string]*heartbeat{}}
}

// add starts the observation of a node that is not observed yet.
func (l *leases) add(node string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.node(node, now)
}

func (l *leases) node(name string, now time.Time) *heartbeat {
	h := l.nodes[name]
	if h == nil {
		h = &heartbeat{changed: now, responding: metav1.ConditionUnknown}
		l.nodes[name] = h
	}
	return h
}

// observe records the content of the Lease of a node. It reports whether the method `responding`
// now returns another result for this node. The `initial` parameter is true if the Lease may be
// old, because the operator has only begun to watch Leases.
func (l *leases) observe(node, content string, initial bool, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.node(node, now)
	if h.content == content {
		return false
	}
	h.content = content
	if initial {
		return false
	}
	before := h.responding
	h.changed, h.responding = now, metav1.ConditionTrue
	return before != metav1.ConditionTrue
}

// forget ends the observation of a node.
func (l *leases) forget(node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.nodes, node)
}

// responding reports whether the agent of a node responds.
func (l *leases) responding(node string) metav1.ConditionStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.nodes[node]; h != nil {
		return h.responding
	}
	return metav1.ConditionUnknown
}

// suspicious reports whether an agent may soon count as silent, because its Lease has not changed
// for half of the timeout.
func (l *leases) suspicious(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.unchanged(now, l.timeout/2)) > 0
}

// setUnreachable records that the API server cannot be reached.
func (l *leases) setUnreachable(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unreachable = now
}

// expire returns the nodes whose agents have become silent, in the order of their names. No agent
// becomes silent within the timeout after the last call of setUnreachable.
func (l *leases) expire(now time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.unreachable) < l.timeout {
		return nil
	}
	out := l.unchanged(now, l.timeout)
	for _, name := range out {
		l.nodes[name].responding = metav1.ConditionFalse
	}
	return out
}

// unchanged returns the nodes whose Leases have not changed for some time, except the nodes
// whose agents count as silent.
func (l *leases) unchanged(now time.Time, limit time.Duration) (out []string) {
	for name, h := range l.nodes {
		if h.responding != metav1.ConditionFalse && now.Sub(h.changed) >= limit {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
