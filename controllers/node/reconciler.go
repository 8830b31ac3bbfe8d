package node

import (
	"context"
	"fmt"
	"time"

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

// resource describes a kind that the agent watches, and contains the functions that apply
// objects of the kind to the snapshot. T is the type of the objects in the cache.
type resource[T client.Object] struct {
	kind kind
	// object is an empty object of the API type.
	object client.Object
	// upsert adds or replaces an object. It ignores the parts of the object that it cannot
	// read, and returns an error that describes these parts.
	upsert func(*policy.Snapshot, T) error
	remove func(*policy.Snapshot, types.NamespacedName)
}

// reconciler applies the objects of one kind to the state.
type reconciler[T client.Object] struct {
	resource[T]
	state   *state
	changes *changes
	faults  *faults
}

// Reconcile applies the current version of one object.
func (r *reconciler[T]) Reconcile(_ context.Context, request reconcile.Request) (reconcile.Result, error) {
	key := request.NamespacedName
	return reconcile.Result{}, r.state.apply(r.changes, key, func(s *policy.Snapshot) error {
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

// load waits until the informer has delivered all objects of the first list, and then
// applies these objects. Later changes are queued.
func (r *reconciler[T]) load(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.changes.delivered:
	}
	r.state.load(r.loadInto)
	return nil
}

// loadInto applies all objects in the informer's store.
func (r *reconciler[T]) loadInto(s *policy.Snapshot) {
	for _, stored := range r.changes.informer.GetStore().List() {
		r.set(s, stored.(T))
	}
}

func (r *reconciler[T]) set(s *policy.Snapshot, object T) {
	r.faults.set(keyOf(object), r.upsert(s, object))
}

func keyOf(object client.Object) types.NamespacedName { return client.ObjectKeyFromObject(object) }

// loader loads all objects of one kind.
type loader interface {
	load(context.Context) error
}

// syncTimeout limits how long a controller waits for its first objects. It is so long that the
// wait never times out in practice. While the API server cannot be reached, the agent must
// keep waiting, and the tree on disk remains enforced.
const syncTimeout = 365 * 24 * time.Hour

// controllerOptions returns the options of every controller of an agent.
func controllerOptions() controller.Options {
	// Tests run the agents of several nodes in one process, with the same controller names.
	skip := true
	return controller.Options{CacheSyncTimeout: syncTimeout, SkipNameValidation: &skip}
}

// add adds a reconciler for the resource to a manager.
func (r resource[T]) add(ctx context.Context, a *agent, mgr manager.Manager) (loader, error) {
	out, err := r.reconciler(ctx, a, mgr.GetCache())
	if err != nil {
		return nil, err
	}
	a.state.watch(out.changes)
	err = builder.ControllerManagedBy(mgr).
		Named(string(r.kind)).
		WatchesRawSource(out.changes).
		WithOptions(controllerOptions()).
		Complete(out)
	if err != nil {
		return nil, fmt.Errorf("%s controller: %w", r.kind, err)
	}
	return out, nil
}

// reconciler returns a reconciler for the objects in a cache.
func (r resource[T]) reconciler(ctx context.Context, a *agent, from cache.Cache) (*reconciler[T], error) {
	c, err := r.changes(ctx, from, a.metrics)
	if err != nil {
		return nil, fmt.Errorf("%s informer: %w", r.kind, err)
	}
	return &reconciler[T]{
		resource: r, state: a.state, changes: c,
		faults: newFaults(r.kind, a.Log.WithName(string(r.kind)), a.metrics),
	}, nil
}

// changes returns the event source of the kind. Reconcilers read objects from the informer's
// store. They cannot use the cache reader, because it cannot return a readPod.
func (r resource[T]) changes(ctx context.Context, c cache.Cache, m *metrics) (*changes, error) {
	informer, err := c.GetInformer(ctx, r.object, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, err
	}
	shared, ok := informer.(toolscache.SharedIndexInformer)
	if !ok {
		return nil, fmt.Errorf("%T has no store", informer)
	}
	return newChanges(r.kind, shared, m)
}
