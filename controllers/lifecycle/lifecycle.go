// Package lifecycle runs the managers of the agent and of the operator. It limits the time
// that a manager takes to stop.
package lifecycle

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// stopTimeout is how long Run waits for a manager to stop after the context has ended. It is
// below 3 seconds, the time within which the process must exit after a signal.
const stopTimeout = 2 * time.Second

// Run calls the function `start`, which creates and runs a manager, and returns the error of
// `start`. If `start` has not returned within stopTimeout after the end of the context, Run
// returns nil, so that the process can exit. The limit is necessary because the creation of a
// manager waits for the API server and cannot be canceled.
func Run(ctx context.Context, log logr.Logger, start func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- start(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case err := <-done:
		return err
	case <-timeout.C:
		log.Info("Exiting without waiting for the controllers: they did not stop in time", "timeout", stopTimeout.String())
		return nil
	}
}

// NewCache returns a function for manager.Options.NewCache. The function works around a fault
// of controller-runtime 0.25: if the context of a manager ends before the manager's cache has
// synced, the manager loops at full processor load (see runnableGroup.Start). The `ctx` parameter
// must be the context of the manager. After this context has ended, a cache from this function
// always reports that it has synced.
func NewCache(ctx context.Context) cache.NewCacheFunc {
	return func(config *rest.Config, o cache.Options) (cache.Cache, error) {
		inner, err := cache.New(config, o)
		return &stoppableCache{Cache: inner, manager: ctx}, err
	}
}

// stoppableCache is a cache whose WaitForCacheSync returns when the context of
// its manager ends.
type stoppableCache struct {
	cache.Cache
	manager context.Context
}

// WaitForCacheSync waits until the cache has synced or the manager stops. It returns false only
// if ctx ends before either happens.
func (c *stoppableCache) WaitForCacheSync(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.manager, cancel)()
	return c.Cache.WaitForCacheSync(ctx) || c.manager.Err() != nil
}
