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

// changes is the event source for the controller of one kind. It queues the key of each object
// that changes. It does not queue the objects of the first list, because the agent loads those
// objects in one step. It also counts the objects, and records the changes that no reconciler
// has taken yet, each with the arrival time of its event.
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
	// undelivered contains the resource versions of objects that the cache has already stored
	// but whose events the informer has not delivered yet. Only lists need this map: the cache
	// stores a complete list first, and the informer then delivers the events in any order. For
	// watches, the `newest` field is enough, because a watch delivers events in the order of
	// versions.
	undelivered map[uint64]struct{}
}

// waitingChange describes the first event of an object that no reconciler has taken yet.
type waitingChange struct {
	at      time.Time
	version uint64
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// undeliveredIndex is the name of an index that is always empty. The index serves as a hook:
// whenever the cache stores an object, it calls the function of each index.
const undeliveredIndex = "undelivered"

// newChanges returns the event source for a kind. The informer must not have been started.
func newChanges(k kind, informer toolscache.SharedIndexInformer, m *metrics) (*changes, error) {
	c := &changes{kind: k, informer: informer, metrics: m, delivered: make(chan struct{}), waiting: map[types.NamespacedName]waitingChange{}}
	return c, informer.AddIndexers(toolscache.Indexers{undeliveredIndex: func(stored any) ([]string, error) {
		c.store(stored.(client.Object))
		return nil, nil
	}})
}

// store records the version of an object that the cache stores. The cache may call `store` again
// for the same object. Before the informer delivers its first event, `store` records nothing,
// unless the first list was empty. The informer delivers only the last version of an object that
// changes during this time. If `store` had recorded an earlier version, this version would stay
// undelivered forever.
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

// allDelivered reports whether the informer has delivered all objects of the first list.
func (c *changes) allDelivered() bool {
	select {
	case <-c.delivered:
		return true
	default:
		return false
	}
}

// cached reports whether the cache contains an object.
func (c *changes) cached(key types.NamespacedName) bool {
	_, exists, err := c.informer.GetStore().GetByKey(toolscache.NewObjectName(key.Namespace, key.Name).String())
	return exists && err == nil
}

// Start registers an event handler with the informer. The handler fills the queue.
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

// record records an event. It does not add objects of the first list to c.waiting, because the
// agent loads these objects in one step.
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

// take removes and returns the time of the first event for an object since the previous call with
// the same key. The caller must call `take` before it reads the object.
func (c *changes) take(key types.NamespacedName) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change, ok := c.waiting[key]
	delete(c.waiting, key)
	return change.at, ok
}

// contained returns a resource version. The reconcilers have taken all changes of the kind up to
// this version. Reconcilers may take keys in any order, and the informer may deliver list events in
// any order. The result is therefore below every version that is waiting or not delivered.
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

// atMostLast returns the lower of two versions: the argument, and the last version that the API
// server sent. The limit matters after etcd was restored from a backup. The API server then uses
// earlier versions again, so versions from before the restore cannot be compared with new ones.
//
// The informer updates the last version shortly after it delivers an event, so the result can be
// too low for a moment. The callers call atMostLast repeatedly.
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
