package node

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/policy"
)

// subject is a kind that the agent follows, and what its objects mean to the
// world. T is what the cache keeps of one.
type subject[T client.Object] struct {
	kind kind
	// object is an empty one, as the API server has it.
	object client.Object
	// upsert sets an object's state. The error says what of it could not be read
	// and is left out.
	upsert func(*policy.Snapshot, T) error
	remove func(*policy.Snapshot, types.NamespacedName)
}

// reconciler brings the world to the state that the cache has of one kind.
type reconciler[T client.Object] struct {
	subject[T]
	world   *world
	changes *changes
	faults  *faults
}

// Reconcile brings the world to the state of one object.
func (r *reconciler[T]) Reconcile(_ context.Context, request reconcile.Request) (reconcile.Result, error) {
	key := request.NamespacedName
	return reconcile.Result{}, r.world.apply(r.changes, key, func(s *policy.Snapshot) error {
		stored, exists, err := r.changes.informer.GetStore().GetByKey(toolscache.NewObjectName(key.Namespace, key.Name).String())
		switch {
		case err != nil:
			return fmt.Errorf("reading %s %s: %w", r.kind, key, err)
		case !exists:
			r.remove(s, key)
			r.faults.forget(key)
			return nil
		}
		r.set(s, stored.(T))
		return nil
	})
}

// load waits until the cache has told of all that it began with, and applies it.
// From then on every change is queued.
func (r *reconciler[T]) load(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.changes.told:
	}
	r.world.load(func(s *policy.Snapshot) {
		for _, stored := range r.changes.informer.GetStore().List() {
			r.set(s, stored.(T))
		}
	})
	return nil
}

func (r *reconciler[T]) set(s *policy.Snapshot, object T) {
	r.faults.note(keyOf(object), r.upsert(s, object))
}

func keyOf(object client.Object) types.NamespacedName { return client.ObjectKeyFromObject(object) }

// loader loads the objects of one kind.
type loader interface {
	load(context.Context) error
}

// house is where reconcilers live.
type house struct {
	manager manager.Manager
	world   *world
	metrics *metrics
	log     logr.Logger
}

// patience is how long a controller waits for its first objects: as long as it
// takes. An agent whose API server is away keeps the tree on disk in force by
// waiting, not by ending.
const patience = 365 * 24 * time.Hour

// controllerOptions are those of every controller of an agent.
func controllerOptions() controller.Options {
	// Several agents in one process are several nodes: names repeat.
	skip := true
	return controller.Options{CacheSyncTimeout: patience, SkipNameValidation: &skip}
}

// add lets the manager run a reconciler of the kind.
func (s subject[T]) add(ctx context.Context, h house) (loader, error) {
	informer, err := h.manager.GetCache().GetInformer(ctx, s.object, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("%s informer: %w", s.kind, err)
	}
	// What the cache keeps of a Pod is no Pod, so the cache's own reader cannot
	// read it.
	shared, ok := informer.(toolscache.SharedIndexInformer)
	if !ok {
		return nil, fmt.Errorf("%s informer: %T has no store", s.kind, informer)
	}
	c, err := newChanges(s.kind, shared, h.metrics)
	if err != nil {
		return nil, fmt.Errorf("%s informer: %w", s.kind, err)
	}
	h.world.kinds = append(h.world.kinds, c)
	r := &reconciler[T]{
		subject: s, world: h.world, changes: c,
		faults: newFaults(s.kind, h.log.WithName(string(s.kind)), h.metrics),
	}
	err = builder.ControllerManagedBy(h.manager).
		Named(string(s.kind)).
		WatchesRawSource(c).
		WithOptions(controllerOptions()).
		Complete(r)
	if err != nil {
		return nil, fmt.Errorf("%s controller: %w", s.kind, err)
	}
	return r, nil
}
