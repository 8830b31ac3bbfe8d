// Package lifecycle starts the managers of the agent and of the operator, and
// bounds how long they take to stop.
package lifecycle

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// stopTimeout is how long Run waits for a manager after the context has ended. The
// process must end within 3 seconds of the signal.
const stopTimeout = 2 * time.Second

// Run calls start, which creates a manager and runs it, and returns its error.
// When the context ends, Run waits for start at most stopTimeout. Creating a
// manager, for example, cannot be canceled: it waits for the API server.
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

// NewCache returns a function for manager.Options.NewCache. A manager first
// waits until its cache has synced. Even when its context ends it waits, in a
// loop that uses a whole processor (runnableGroup.Start of controller-runtime
// 0.25). The caches that the function creates therefore count as synced once
// ctx, the context of the manager, has ended.
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

// WaitForCacheSync waits until the cache has synced or the manager stops. It
// returns false only if ctx ends first.
func (c *stoppableCache) WaitForCacheSync(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.manager, cancel)()
	return c.Cache.WaitForCacheSync(ctx) || c.manager.Err() != nil
}
