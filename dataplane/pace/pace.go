// Package pace decides how soon the threads of the dataplane run, and how much processor time the
// flood worker uses. All threads get the shortest time slice, so that they run soon after a packet has
// arrived. The flood worker uses a tenth of a processor, and more only while more than one processor
// is idle.
//
// The flood worker has the same priority as the other threads. Threads of a Go process wait for each
// other: Go's scheduler has locks, which each thread takes from time to time. If a thread of low
// priority had to wait for a processor, a worker would have to wait for this thread. Real-time
// priority is not possible either, because threads of Go wait for such locks in a busy loop: a thread
// in this loop would never let the owner of the lock run.
package pace

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// interval is the time between two changes of the flood worker's share.
const interval = 100 * time.Millisecond

// Governor limits the processor time of the flood worker.
type Governor struct {
	log logr.Logger
	// share is the number of thousandths of a processor that the flood worker may use.
	share atomic.Int64
}

// New returns a governor for a dataplane with the given number of normal queues. It also raises
// GOMAXPROCS so that the workers of these queues, the flood worker and two further goroutines can run
// at the same time: Go counts a goroutine as running even while its thread waits for a processor.
func New(queues uint16, log logr.Logger) *Governor {
	workers := int(queues) + 1 // with the flood worker
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), workers+2))
	g := &Governor{log: log}
	g.share.Store(leastShare)
	return g
}

// Run sets the time slice of all threads, and adapts the share of the flood worker until the context
// is canceled. If the idle time cannot be read, the share stays at its lowest value.
func (g *Governor) Run(ctx context.Context) {
	if err := setSlice(); err != nil {
		g.log.Error(err, "Setting the time slice of threads")
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	before, err := measure()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err != nil {
			g.log.Error(err, "Reading the idle time")
			g.share.Store(leastShare)
			return
		}
		var now measurement
		if now, err = measure(); err == nil {
			g.share.Store(shareAfter(g.share.Load(), now.idleSince(before)))
			before = now
		}
	}
}

// Pause returns how long the flood worker must wait after it has used a processor for the given time.
func (g *Governor) Pause(used time.Duration) time.Duration {
	share := g.share.Load()
	return min(used*time.Duration(fullShare-share)/time.Duration(share), maxPause)
}
