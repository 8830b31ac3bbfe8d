package node

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/sluicenet/sluice/policy"
)

// optional describes a kind that the agent reads only while it needs the objects.
type optional[T client.Object] struct {
	resource[T]
	// names returns the names of the objects in the snapshot.
	names func(*policy.Snapshot) []types.NamespacedName
}

// run reads the objects in a cache and applies their changes until the context ends. When all
// objects of the first list have been applied, `run` calls the function `loaded`, which may use the
// snapshot. The snapshot still contains the objects after `run` has returned.
func (o *optional[T]) run(ctx context.Context, a *agent, from cache.Cache, loaded func(*policy.Snapshot)) error {
	r, err := o.reconciler(ctx, a, from)
	if err != nil {
		return err
	}
	options := controllerOptions()
	options.Reconciler, options.Logger = r, a.Log
	c, err := controller.NewUnmanaged(string(o.kind), options)
	if err == nil {
		err = c.Watch(r.changes)
	}
	if err != nil {
		return fmt.Errorf("%s controller: %w", o.kind, err)
	}
	a.state.watch(r.changes)
	defer o.forget(a, r.changes)
	return runAll(ctx, from.Start, c.Start, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-r.changes.delivered:
		}
		a.state.load(func(s *policy.Snapshot) {
			o.prune(s, r.changes.cached)
			r.loadInto(s)
			loaded(s)
		})
		a.state.changed.Set()
		return nil
	})
}

// prune removes from the snapshot all objects for which the function `keep` returns false.
func (o *optional[T]) prune(s *policy.Snapshot, keep func(types.NamespacedName) bool) {
	for _, name := range o.names(s) {
		if !keep(name) {
			o.remove(s, name)
		}
	}
}

// forget records that the agent no longer reads the kind.
func (o *optional[T]) forget(a *agent, c *changes) {
	a.state.unwatch(c)
	a.connection.Forget(o.kind)
	a.metrics.objects.DeleteLabelValues(string(o.kind))
}

// runAll calls functions concurrently and waits for all of them. If one fails, runAll cancels the
// context of the others.
func runAll(ctx context.Context, functions ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	errs := make([]error, len(functions))
	for i, f := range functions {
		group.Go(func() {
			if errs[i] = f(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
