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

// changes is the event source for the controller of one kind. It queues the key of each
// object that changes. It does not queue the objects of the first list, because the agent
// loads them in one step. It also counts the objects, and records which changes no
// reconciler has taken yet and when their events arrived.
type changes struct {
	kind     kind
	informer toolscache.SharedIndexInformer
	metrics  *metrics
	// delivered is closed when the informer has delivered all objects of the first list.
	delivered chan struct{}

	mu sync.Mutex
	// waiting contains the objects with events that no reconciler has taken yet.
	waiting map[types.NamespacedName]waitingChange
	// newest is the highest resource version among all delivered events.
	newest uint64
	// undelivered contains the resource versions above newest that the cache has already
	// stored, but whose events the informer has not delivered yet. It is needed for lists:
	// the cache stores a complete list first, and the informer then delivers the events in
	// any order. For watches, newest is enough, because a watch delivers events in the
	// order of versions.
	undelivered map[uint64]struct{}
}

// waitingChange describes the first event of an object that no reconciler has taken yet.
type waitingChange struct {
	at      time.Time
	version uint64
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// undeliveredIndex is the name of an index that is always empty. It serves as a hook: the
// cache calls the function of each index whenever it stores an object.
const undeliveredIndex = "undelivered"

// newChanges returns the event source for a kind. The caller must not have started the
// informer.
func newChanges(k kind, informer toolscache.SharedIndexInformer, m *metrics) (*changes, error) {
	c := &changes{kind: k, informer: informer, metrics: m, delivered: make(chan struct{}), waiting: map[types.NamespacedName]waitingChange{}}
	return c, informer.AddIndexers(toolscache.Indexers{undeliveredIndex: func(stored any) ([]string, error) {
		c.store(stored.(client.Object))
		return nil, nil
	}})
}

// store records an object that the cache stores. The cache may call it again with an object
// that it stored before. Before the first event, store records nothing, unless the first
// list is known to be empty: of several versions from that time, the informer delivers only
// the last one.
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

// allDelivered reports whether the channel delivered is closed.
func (c *changes) allDelivered() bool {
	select {
	case <-c.delivered:
		return true
	default:
		return false
	}
}

// Start registers a handler with the informer that delivers events to the queue.
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

// handler processes the events of an informer. The informer serializes the calls.
type handler struct {
	*changes
	queue queue
}

// OnAdd processes a new object. The informer calls it once for each new object.
func (h handler) OnAdd(added any, first bool) {
	object := added.(client.Object)
	h.metrics.objects.WithLabelValues(string(h.kind)).Inc()
	h.record(object, first)
	if !first {
		h.queue.Add(reconcile.Request{NamespacedName: keyOf(object)})
	}
}

// OnUpdate processes a changed object. The informer also calls it for each object after a
// relist.
func (h handler) OnUpdate(before, after any) {
	object := after.(client.Object)
	if before.(client.Object).GetResourceVersion() == object.GetResourceVersion() {
		return
	}
	h.record(object, false)
	h.queue.Add(reconcile.Request{NamespacedName: keyOf(object)})
}

// OnDelete processes a deleted object. The informer calls it once for each deleted object.
func (h handler) OnDelete(deleted any) {
	// If a relist shows that an object is missing, only the last known version is
	// available.
	if unseen, ok := deleted.(toolscache.DeletedFinalStateUnknown); ok {
		deleted = unseen.Obj
	}
	object := deleted.(client.Object)
	h.metrics.objects.WithLabelValues(string(h.kind)).Dec()
	h.record(object, false)
	h.queue.Add(reconcile.Request{NamespacedName: keyOf(object)})
}

// record records an event. For events of the first list, it does not add the object to
// waiting, because the agent loads these objects in one step.
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

// take returns the time of the first event of an object since the previous call of take.
// The caller must call take before it reads the object.
func (c *changes) take(key types.NamespacedName) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change, ok := c.waiting[key]
	delete(c.waiting, key)
	return change.at, ok
}

// contained returns a resource version up to which the reconcilers have taken every change
// of the kind. Keys may be taken in any order, and events of a list may be delivered in any
// order. The result is therefore below the lowest version that is waiting or not delivered.
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

// atMostLast returns the lower of two versions: the argument, and the last version that the
// API server sent. The limit matters after the store of an API server was restored from a
// backup: the API server then reuses versions, and versions from before the restore are no
// longer comparable.
//
// The informer records the last version shortly after it delivers the event, so the result
// can be too low for a moment. The callers call the method repeatedly.
func (c *changes) atMostLast(version uint64) uint64 {
	last, _ := strconv.ParseUint(c.informer.LastSyncResourceVersion(), 10, 64)
	return min(version, last)
}

// versionOf returns the resource version of an object, or 0 if the object has no valid
// version.
func versionOf(object client.Object) uint64 {
	version, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	return version
}
