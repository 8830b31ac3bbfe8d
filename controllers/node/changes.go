package node

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// changes is the source of the controller of one kind. It queues the key of each
// object that changes, but not of the objects that the cache starts with: these are
// loaded in one step. It also counts the objects, and it records which changes are
// not reconciled yet and since when.
type changes struct {
	kind     kind
	informer toolscache.SharedIndexInformer
	metrics  *metrics
	// delivered is closed when the informer has delivered all objects that the cache
	// started with.
	delivered chan struct{}

	mu sync.Mutex
	// waiting has the objects with events that no reconciler has taken yet.
	waiting map[types.NamespacedName]waitingChange
	// newest is the newest resource version of any event.
	newest uint64
	// undelivered has the versions in the cache whose events the informer has not
	// delivered yet, if they are newer than the field newest. A watch delivers events
	// in the order of versions, so newest is enough there. A list delivers events in
	// any order, but the cache has the complete list before the first event.
	undelivered map[uint64]struct{}
}

// waitingChange is the first event of an object that no reconciler has taken yet.
type waitingChange struct {
	at      time.Time
	version uint64
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// undeliveredIndex is the name of an index that is always empty. The cache calls the
// function of an index for each object that it stores.
const undeliveredIndex = "undelivered"

// newChanges returns the source of a kind's changes. The informer must not have
// started yet.
func newChanges(k kind, informer toolscache.SharedIndexInformer, m *metrics) (*changes, error) {
	c := &changes{kind: k, informer: informer, metrics: m, delivered: make(chan struct{}), waiting: map[types.NamespacedName]waitingChange{}}
	return c, informer.AddIndexers(toolscache.Indexers{undeliveredIndex: func(stored any) ([]string, error) {
		c.store(stored.(client.Object))
		return nil, nil
	}})
}

// store records an object that the cache stores. The cache calls it again for
// objects that it had before. Nothing is recorded before the first event, or before
// the first list is known to be empty: the informer delivers only the last of
// several versions from that time.
func (c *changes) store(object client.Object) {
	version := versionOf(object)
	c.mu.Lock()
	defer c.mu.Unlock()
	if version <= c.newest || c.newest == 0 && !c.allDelivered() {
		return
	}
	if c.undelivered == nil {
		c.undelivered = map[uint64]struct{}{}
	}
	c.undelivered[version] = struct{}{}
}

// allDelivered reports whether delivered is closed.
func (c *changes) allDelivered() bool {
	select {
	case <-c.delivered:
		return true
	default:
		return false
	}
}

// Start makes the informer deliver its events to the queue.
func (c *changes) Start(ctx context.Context, q queue) error {
	registration, err := c.informer.AddEventHandler(handler{c, q})
	if err != nil {
		return fmt.Errorf("watching %s objects: %w", c.kind, err)
	}
	go func() {
		if toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			close(c.delivered)
		}
	}()
	return nil
}

// handler processes the events of an informer. Calls are serialized.
type handler struct {
	*changes
	queue queue
}

// OnAdd is called once for each new object.
func (h handler) OnAdd(added any, first bool) {
	object := added.(client.Object)
	h.metrics.objects.WithLabelValues(string(h.kind)).Inc()
	h.record(object, first)
	if !first {
		h.queue.Add(reconcile.Request{NamespacedName: keyOf(object)})
	}
}

// OnUpdate is called for each change, and for each object after a relist.
func (h handler) OnUpdate(before, after any) {
	object := after.(client.Object)
	if before.(client.Object).GetResourceVersion() == object.GetResourceVersion() {
		return
	}
	h.record(object, false)
	h.queue.Add(reconcile.Request{NamespacedName: keyOf(object)})
}

// OnDelete is called once for each deleted object.
func (h handler) OnDelete(deleted any) {
	// If an object is missing in a relist, only its last known version is available.
	if unseen, ok := deleted.(toolscache.DeletedFinalStateUnknown); ok {
		deleted = unseen.Obj
	}
	object := deleted.(client.Object)
	h.metrics.objects.WithLabelValues(string(h.kind)).Dec()
	h.record(object, false)
	h.queue.Add(reconcile.Request{NamespacedName: keyOf(object)})
}

// record records an event. Events of the first list do not wait for a reconciler,
// because their objects are loaded.
func (c *changes) record(object client.Object, initial bool) {
	now := time.Now()
	key, version := keyOf(object), versionOf(object)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.newest = max(c.newest, version)
	delete(c.undelivered, version)
	if len(c.undelivered) == 0 {
		c.undelivered = nil // Go maps never shrink.
	}
	if _, ok := c.waiting[key]; !ok && !initial {
		c.waiting[key] = waitingChange{at: now, version: version}
	}
}

// take returns the time of the first event of an object since the previous call. It
// must be called before the object is read.
func (c *changes) take(key types.NamespacedName) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change, ok := c.waiting[key]
	delete(c.waiting, key)
	return change.at, ok
}

// contained returns a resource version up to which every change of the kind has been
// taken. Keys are not taken in the order of versions, and after a list events are
// not delivered in that order, so the result is older than the oldest version that
// waits or is not delivered.
func (c *changes) contained() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.newest
	for _, change := range c.waiting {
		out = min(out, max(change.version, 1)-1)
	}
	for version := range c.undelivered {
		out = min(out, version-1)
	}
	return out
}

// atMostLast returns the version, or the last version from the API server if that is
// older. After its store was restored from a backup, an API server reuses versions,
// and versions from before the restore are no longer comparable.
//
// The informer records the last version just after it delivers the event, so a
// result can be too old for a moment. Callers call the method repeatedly.
func (c *changes) atMostLast(version uint64) uint64 {
	last, _ := strconv.ParseUint(c.informer.LastSyncResourceVersion(), 10, 64)
	return min(version, last)
}

// versionOf returns the resource version of an object, 0 if it has none.
func versionOf(object client.Object) uint64 {
	version, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	return version
}
