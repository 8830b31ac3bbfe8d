// Package realtime decides when the threads of the dataplane run. A packet that waits in a queue
// must not wait for a processor that other programs use, such as the pods of a flood. So all threads
// of the process get real-time priority (SCHED_FIFO, see sched(7)): they run before every thread
// without it. Two limits protect the other programs of the node:
//
//   - On average, threads with real-time priority use at most half a processor per normal queue. If
//     the process needs more, its threads lose this priority for some time.
//   - The worker of the flood queue uses a tenth of a processor, and more only while more than one
//     processor is idle.
//
// It is not enough to raise the priority of the workers. Go's scheduler has locks, which each thread
// of a process takes from time to time. A worker would wait for a thread of low priority that has such
// a lock, and this thread would wait for a processor.
package realtime

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

// interval is the time between two decisions of a governor.
const interval = 100 * time.Millisecond

// Governor sets the priority of the threads of this process.
type Governor struct {
	log logr.Logger
	// credit is the time for which the threads may use a processor with real-time priority.
	credit credit
	// share is the number of thousandths of a processor that the flood worker may use.
	share atomic.Int64

	// mu guards the fields below.
	mu sync.Mutex
	// unavailable is set after the kernel has rejected real-time priority.
	unavailable bool
	// realTime is set while the threads have real-time priority.
	realTime bool
	// nice is the nice value of threads without real-time priority.
	nice int32
	// background is the ID of the flood worker's thread, or 0.
	background int
}

// New returns a governor for a dataplane with the given number of normal queues. It also raises
// GOMAXPROCS so that the workers of these queues, the flood worker and two further goroutines can run
// at the same time: Go counts a goroutine as running even while its thread waits for a processor.
func New(queues uint16, log logr.Logger) *Governor {
	workers := int(queues) + 1 // with the flood worker
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), workers+2))
	g := &Governor{log: log, credit: credit{perSecond: time.Duration(queues) * time.Second / 2}}
	g.share.Store(leastShare)
	return g
}

// Run sets the priority of all threads until the context is canceled. If the kernel rejects real-time
// priority, the threads get the shortest time slice instead, and Run logs the reason. The kernel
// rejects it without CAP_SYS_NICE, and in a control group without real-time budget
// (CONFIG_RT_GROUP_SCHED).
func (g *Governor) Run(ctx context.Context) error {
	attributes, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return fmt.Errorf("sched_getattr: %w", err)
	}
	g.mu.Lock()
	g.nice = attributes.Nice
	g.mu.Unlock()
	g.use(true)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	before, err := measure()
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		var now measurement
		now, err = measure()
		if err == nil {
			g.decide(now.since(before))
			before = now
		}
	}
	// Without measurements, there is no limit for threads with real-time priority.
	g.use(false)
	return err
}

// decide sets the priority of the threads and the share of the flood worker, from the processor time
// that was used since the previous decision.
func (g *Governor) decide(u usage) {
	if u.elapsed <= 0 {
		return
	}
	g.mu.Lock()
	realTime := g.realTime
	g.mu.Unlock()
	g.use(g.credit.left(u, realTime))
	g.share.Store(shareAfter(g.share.Load(), u))
}

// use sets or removes the real-time priority of all threads.
func (g *Governor) use(realTime bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unavailable || realTime == g.realTime {
		return
	}
	err := setThreads(g.attributes(realTime))
	switch {
	case err == nil:
		g.realTime = realTime
	case realTime:
		g.unavailable = true
		g.log.Info("Real-time priority is not available, so a flood can delay new connections of other pods", "reason", err.Error())
		if err := setThreads(g.attributes(false)); err != nil {
			g.log.Info("The time slice of the threads stays as it is", "reason", err.Error())
		}
	default:
		g.log.Error(err, "Removing the real-time priority")
	}
}

// Background marks the calling thread as the thread of the flood worker. With real-time priority, its
// priority is lower than that of the other threads.
func (g *Governor) Background() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.background = unix.Gettid()
	if g.realTime {
		attributes := g.attributes(true)(g.background)
		if err := unix.SchedSetAttr(g.background, &attributes, 0); err != nil {
			g.log.Error(err, "Lowering the priority of the flood worker")
		}
	}
}

// Pause returns how long the flood worker must wait after it has used a processor for the given time.
func (g *Governor) Pause(used time.Duration) time.Duration {
	share := g.share.Load()
	return min(used*time.Duration(fullShare-share)/time.Duration(share), maxPause)
}

// attributes returns a function that returns the attributes of the thread with the given ID.
func (g *Governor) attributes(realTime bool) func(thread int) unix.SchedAttr {
	return func(thread int) unix.SchedAttr {
		switch {
		case !realTime:
			return unix.SchedAttr{Policy: unix.SCHED_NORMAL, Nice: g.nice, Runtime: shortSlice}
		case thread == g.background:
			return unix.SchedAttr{Policy: unix.SCHED_FIFO, Priority: 1}
		default:
			return unix.SchedAttr{Policy: unix.SCHED_FIFO, Priority: 2}
		}
	}
}
