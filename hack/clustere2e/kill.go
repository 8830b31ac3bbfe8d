package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// killer kills the operator's pod periodically, so that each new operator has to continue the
// work of the previous one.
type killer struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup
	kills  int
}

// startKilling starts to kill the operator's pod at each interval. An interval of 0 means never.
func (c *cluster) startKilling(ctx context.Context, interval time.Duration) *killer {
	ctx, cancel := context.WithCancel(ctx)
	k := &killer{cancel: cancel}
	if interval == 0 {
		return k
	}
	k.ended.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// Ignore errors: if a pod has just been killed, there may be no pod to
			// delete.
			if _, err := c.kubectl(ctx, "", "-n", "sluice-system", "delete", "pods", "--ignore-not-found", "--wait=false",
				"-l", "app.kubernetes.io/name=sluice,app.kubernetes.io/component=operator", "--grace-period=0", "--force"); err == nil {
				k.kills++
			}
		}
	})
	return k
}

// stop stops killing and reports how often the operator was killed.
func (k *killer) stop() {
	k.cancel()
	k.ended.Wait()
	if k.kills > 0 {
		fmt.Printf("the operator was killed %d times\n", k.kills)
	}
}
