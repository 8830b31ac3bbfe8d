package node

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/policy"
)

// reconciler is what the reconcilers of all kinds have.
type reconciler struct {
	// reader reads the caches.
	reader  client.Reader
	world   *world
	changes *changes
	faults  *faults
}

// kindReconciler reconciles one kind.
type kindReconciler interface {
	reconcile.Reconciler
	// list applies every object that the cache has.
	list(ctx context.Context, s *policy.Snapshot) error
}

// patience is how long a controller waits for its first objects: as long as it
// takes. An agent whose API server is away keeps the tree on disk in force by
// waiting, not by ending.
const patience = 365 * 24 * time.Hour

// addController lets the manager run a reconciler of a kind.
func addController(m manager.Manager, k kind, object client.Object, r kindReconciler, c *changes) error {
	// Several agents in one process are several nodes: names repeat.
	skip := true
	return builder.ControllerManagedBy(m).
		Named(string(k)).
		Watches(object, c).
		WithOptions(controller.Options{CacheSyncTimeout: patience, SkipNameValidation: &skip}).
		Complete(r)
}

// load waits until every cache has synced and applies all that is in them, in
// one step.
func load(ctx context.Context, m manager.Manager, w *world, reconcilers map[kind]kindReconciler) error {
	for _, object := range watched() {
		// This blocks until the cache has synced.
		if _, err := m.GetCache().GetInformer(ctx, object); err != nil {
			return err
		}
	}
	return w.load(func(s *policy.Snapshot) error {
		var errs []error
		for _, r := range reconcilers {
			errs = append(errs, r.list(ctx, s))
		}
		return errors.Join(errs...)
	})
}

// faults are the objects of one kind that cannot be read in full. Whoever calls
// it holds the world.
type faults struct {
	kind    kind
	log     logr.Logger
	metrics *metrics
	known   map[types.NamespacedName]string
}

func newFaults(k kind, log logr.Logger, m *metrics) *faults {
	return &faults{kind: k, log: log, metrics: m, known: map[types.NamespacedName]string{}}
}

// note reports a fault, once as long as it stays the same.
func (f *faults) note(object client.Object, fault error) {
	key := keyOf(object)
	if f.known[key] == fault.Error() {
		return
	}
	f.known[key] = fault.Error()
	f.metrics.unreadable.WithLabelValues(string(f.kind)).Set(float64(len(f.known)))
	f.log.Error(fault, "Object cannot be read in full: the rest of it counts", "kind", f.kind, "object", key.String())
}

// none says that nothing is wrong with an object any more.
func (f *faults) none(key types.NamespacedName) {
	if _, ok := f.known[key]; !ok {
		return
	}
	delete(f.known, key)
	f.metrics.unreadable.WithLabelValues(string(f.kind)).Set(float64(len(f.known)))
}

func keyOf(object client.Object) types.NamespacedName { return client.ObjectKeyFromObject(object) }
