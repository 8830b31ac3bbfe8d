package node

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// changes queues the key of each changed object of one kind. Beside that it
// counts the objects and notes when the first event came that is not
// reconciled yet.
type changes struct {
	queue   handler.EnqueueRequestForObject
	kind    kind
	metrics *metrics

	mu    sync.Mutex
	since map[types.NamespacedName]time.Time
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

func newChanges(k kind, m *metrics) *changes {
	return &changes{kind: k, metrics: m, since: map[types.NamespacedName]time.Time{}}
}

// Create is called once for each object that appears.
func (c *changes) Create(ctx context.Context, e event.CreateEvent, q queue) {
	c.metrics.objects.WithLabelValues(string(c.kind)).Inc()
	// What was there before the agent is no event that somebody waits for.
	if !e.IsInInitialList {
		c.note(e.Object)
	}
	c.queue.Create(ctx, e, q)
}

// Update is called for each change, and for each object when the cache lists
// them anew.
func (c *changes) Update(ctx context.Context, e event.UpdateEvent, q queue) {
	if e.ObjectOld.GetResourceVersion() == e.ObjectNew.GetResourceVersion() {
		return
	}
	c.note(e.ObjectNew)
	c.queue.Update(ctx, e, q)
}

// Delete is called once for each object that goes.
func (c *changes) Delete(ctx context.Context, e event.DeleteEvent, q queue) {
	c.metrics.objects.WithLabelValues(string(c.kind)).Dec()
	c.note(e.Object)
	c.queue.Delete(ctx, e, q)
}

// Generic is called by nobody: caches have no such events.
func (c *changes) Generic(ctx context.Context, e event.GenericEvent, q queue) {
	c.queue.Generic(ctx, e, q)
}

func (c *changes) note(object client.Object) {
	now := time.Now()
	key := client.ObjectKeyFromObject(object)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.since[key]; !ok {
		c.since[key] = now
	}
}

// take gives when the first event came since the last call, nothing if none
// came. It must be called before the object is read.
func (c *changes) take(key types.NamespacedName) []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.since[key]
	if !ok {
		return nil
	}
	delete(c.since, key)
	return []time.Time{at}
}
