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

// changes is the source of the controller of one kind: it queues the key of each
// object that changes; what the cache begins with is loaded in one step instead.
// Beside that it counts the objects and notes when the first event came that is
// not reconciled yet.
type changes struct {
	kind     kind
	informer toolscache.SharedIndexInformer
	metrics  *metrics
	// told is closed when all that the cache began with was told of.
	told chan struct{}

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

// untoldIndex names an index that is always empty. The function of an index is
// called for each object while the cache takes it.
const untoldIndex = "untold"

// newChanges gives the changes of a kind. The informer must not run yet.
func newChanges(k kind, informer toolscache.SharedIndexInformer, m *metrics) (*changes, error) {
	c := &changes{kind: k, informer: informer, metrics: m, told: make(chan struct{}), waiting: map[types.NamespacedName]waitingChange{}}
	return c, informer.AddIndexers(toolscache.Indexers{untoldIndex: func(stored any) ([]string, error) {
		c.store(stored.(client.Object))
		return nil, nil
	}})
}

// store takes down an object that the cache has. It is called again for
// objects that it had before. Until the first event, or the news that there was
// none, nobody may be told: of several versions from before, only the last will be.
func (c *changes) store(object client.Object) {
	version := versionOf(object)
	c.mu.Lock()
	defer c.mu.Unlock()
	if version <= c.newest || c.newest == 0 && !c.allTold() {
		return
	}
	if c.untold == nil {
		c.untold = map[uint64]struct{}{}
	}
	c.untold[version] = struct{}{}
}

// allTold reports whether all that the cache began with was told of.
func (c *changes) allTold() bool {
	select {
	case <-c.told:
		return true
	default:
		return false
	}
}

// Start lets the informer tell of its objects from now on.
func (c *changes) Start(ctx context.Context, q queue) error {
	registration, err := c.informer.AddEventHandler(handler{c, q})
	if err != nil {
		return fmt.Errorf("following %s objects: %w", c.kind, err)
	}
	go func() {
		if toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			close(c.told)
		}
	}()
	return nil
}

// handler is called for each event of an informer, one after the other.
type handler struct {
	*changes
	queue queue
}

// OnAdd is called once for each object that appears.
func (h handler) OnAdd(added any, first bool) {
	object := added.(client.Object)
	h.metrics.objects.WithLabelValues(string(h.kind)).Inc()
	h.note(object, first)
	if !first {
		h.queue.Add(reconcile.Request{NamespacedName: keyOf(object)})
	}
}

// OnUpdate is called for each change, and for each object when the cache lists
// them anew.
func (h handler) OnUpdate(before, after any) {
	object := after.(client.Object)
	if before.(client.Object).GetResourceVersion() == object.GetResourceVersion() {
		return
	}
	h.note(object, false)
	h.queue.Add(reconcile.Request{NamespacedName: keyOf(object)})
}

// OnDelete is called once for each object that goes.
func (h handler) OnDelete(deleted any) {
	// Of an object that a new list does not have any more, there is the last
	// known state.
	if unseen, ok := deleted.(toolscache.DeletedFinalStateUnknown); ok {
		deleted = unseen.Obj
	}
	object := deleted.(client.Object)
	h.metrics.objects.WithLabelValues(string(h.kind)).Dec()
	h.note(object, false)
	h.queue.Add(reconcile.Request{NamespacedName: keyOf(object)})
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

// known gives a version, or the last that the API server gave where that is
// older. A server whose store was restored from a backup counts on from there, and
// what was contained before says nothing about what comes then.
//
// The last version is noted just after its event is handed on, so this is for
// whoever asks again.
func (c *changes) known(version uint64) uint64 {
	last, _ := strconv.ParseUint(c.informer.LastSyncResourceVersion(), 10, 64)
	return min(version, last)
}

// versionOf gives an object's resource version, 0 for one that has none.
func versionOf(object client.Object) uint64 {
	version, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	return version
}
