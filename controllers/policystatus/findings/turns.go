package findings

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

const (
	// settleDelay is the time between a change and the check of the namespace. Because of this delay,
	// one check usually covers several changes.
	settleDelay = time.Second
	// namespaceShare limits the checks of one namespace to 1/namespaceShare of one processor's
	// time. For example, after a check of 100 ms, the next check of the namespace starts 10 s
	// later. The same limit applies to the checks of all ClusterNetworkPolicies together.
	namespaceShare = 100
	// totalShare limits all checks together to 1/totalShare of one processor's time.
	totalShare = 20
	// burst is the time that checks may take before totalShare limits them. It is long enough to
	// check all namespaces of a large cluster after the operator has started.
	burst = 5 * time.Second
)

// turns schedules the checks of namespaces. Namespaces that changed are checked in the order
// of their changes. Only a namespace whose last check took long has to wait longer.
type turns struct {
	queue workqueue.TypedDelayingInterface[string]
	total allowance

	mu sync.Mutex
	// Some namespaces have to wait longer than settleDelay. For these namespaces, resting contains
	// the time from which they may be checked again.
	resting map[string]time.Time
}

func newTurns() *turns {
	return &turns{
		queue:   workqueue.NewTypedDelayingQueue[string](),
		total:   allowance{left: burst, updated: time.Now()},
		resting: map[string]time.Time{},
	}
}

// add requests a check of a namespace. A namespace that already waits for a check is checked
// only once.
func (t *turns) add(namespace string) { t.queue.AddAfter(namespace, settleDelay) }

// next waits for a namespace that may be checked and returns it. The second result, `ok`, is false
// after the method `stop` has been called. The caller must call `done` after the check.
func (t *turns) next() (namespace string, ok bool) {
	for {
		namespace, stopped := t.queue.Get()
		if stopped {
			return "", false
		}
		rest := t.restOf(namespace)
		if rest <= 0 {
			return namespace, true
		}
		t.queue.AddAfter(namespace, rest)
		t.queue.Done(namespace)
	}
}

// restOf returns how long the check of a namespace must still wait.
func (t *turns) restOf(namespace string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := time.Until(t.resting[namespace])
	if rest <= 0 {
		delete(t.resting, namespace)
	}
	return rest
}

// done ends the turn of a namespace whose check took the given time. Before it returns, it waits
// until the next namespace may be checked, or until the context ends.
func (t *turns) done(ctx context.Context, namespace string, took time.Duration) {
	if rest := took * namespaceShare; rest > settleDelay {
		t.mu.Lock()
		t.resting[namespace] = time.Now().Add(rest)
		t.mu.Unlock()
	}
	t.queue.Done(namespace)
	pause := time.NewTimer(t.total.spend(time.Now(), took))
	defer pause.Stop()
	select {
	case <-ctx.Done():
	case <-pause.C:
	}
}

func (t *turns) stop() { t.queue.ShutDown() }

// allowance is the time that checks may take. It grows by 1/totalShare of the elapsed time, up
// to burst.
type allowance struct {
	left    time.Duration
	updated time.Time
}

// spend subtracts time from the allowance. It returns how long the caller must wait until the
// allowance is positive again.
func (a *allowance) spend(now time.Time, took time.Duration) (wait time.Duration) {
	a.left = min(burst, a.left+now.Sub(a.updated)/totalShare) - took
	a.updated = now
	return max(0, -a.left*totalShare)
}
