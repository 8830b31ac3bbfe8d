package node

import (
	"context"
	"strconv"
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

	mu sync.Mutex
	// waiting are the objects with events that no reconciler took yet.
	waiting map[types.NamespacedName]waitingChange
	// newest is the newest resource version of any event.
	newest uint64
	// untold are the versions, newer than that, that the cache has and that no
	// event told of yet. Events of a watch come in the order of versions, so
	// there it is no news. Those of a list come in any order, but the cache has
	// the whole list before the first of them.
	untold map[uint64]struct{}
}

// waitingChange is the first event of an object that no reconciler took yet.
type waitingChange struct {
	at      time.Time
	version uint64
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

func newChanges(k kind, m *metrics) *changes {
	return &changes{kind: k, metrics: m, waiting: map[types.NamespacedName]waitingChange{}}
}

// untoldIndex names the index that follow makes.
const untoldIndex = "untold"

// follow lets the cache say what it has before it tells of it. The function of
// an index is called for each object while the cache takes it.
func (c *changes) follow(ctx context.Context, indexer client.FieldIndexer, object client.Object) error {
	return indexer.IndexField(ctx, object, untoldIndex, func(o client.Object) []string {
		c.store(o)
		return nil
	})
}

// store takes down an object that the cache has. It is called again for
// objects that it had before. Until the first event nobody may be told: of
// several versions from before, only the last will be.
func (c *changes) store(object client.Object) {
	version := versionOf(object)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.newest == 0 || version <= c.newest {
		return
	}
	if c.untold == nil {
		c.untold = map[uint64]struct{}{}
	}
	c.untold[version] = struct{}{}
}

// Create is called once for each object that appears.
func (c *changes) Create(ctx context.Context, e event.CreateEvent, q queue) {
	c.metrics.objects.WithLabelValues(string(c.kind)).Inc()
	c.note(e.Object, e.IsInInitialList)
	c.queue.Create(ctx, e, q)
}

// Update is called for each change, and for each object when the cache lists
// them anew.
func (c *changes) Update(ctx context.Context, e event.UpdateEvent, q queue) {
	if e.ObjectOld.GetResourceVersion() == e.ObjectNew.GetResourceVersion() {
		return
	}
	c.note(e.ObjectNew, false)
	c.queue.Update(ctx, e, q)
}

// Delete is called once for each object that goes.
func (c *changes) Delete(ctx context.Context, e event.DeleteEvent, q queue) {
	c.metrics.objects.WithLabelValues(string(c.kind)).Dec()
	c.note(e.Object, false)
	c.queue.Delete(ctx, e, q)
}

// Generic is called by nobody: caches have no such events.
func (c *changes) Generic(ctx context.Context, e event.GenericEvent, q queue) {
	c.queue.Generic(ctx, e, q)
}

// note takes down an event. What was there before the agent is loaded, and is
// no event that somebody waits for.
func (c *changes) note(object client.Object, initial bool) {
	now := time.Now()
	key, version := keyOf(object), versionOf(object)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.newest = max(c.newest, version)
	delete(c.untold, version)
	if len(c.untold) == 0 {
		c.untold = nil // A map that was large stays so.
	}
	if _, ok := c.waiting[key]; !ok && !initial {
		c.waiting[key] = waitingChange{at: now, version: version}
	}
}

// take gives when the first event of an object came since the last call. It
// must be called before the object is read.
func (c *changes) take(key types.NamespacedName) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change, ok := c.waiting[key]
	delete(c.waiting, key)
	return change.at, ok
}

// contained gives a resource version up to which every change of the kind was
// taken. Keys are not taken in the order of versions, nor told in it after a
// list, so it stays before the oldest that waits or is untold.
func (c *changes) contained() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.newest
	for _, change := range c.waiting {
		out = min(out, max(change.version, 1)-1)
	}
	for version := range c.untold {
		out = min(out, version-1)
	}
	return out
}

// versionOf gives an object's resource version, 0 for one that has none.
func versionOf(object client.Object) uint64 {
	version, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	return version
}
