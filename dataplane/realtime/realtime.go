// Package realtime decides when the threads of the dataplane run. A packet that waits in a queue
// must not wait for a processor that other programs use, such as the pods of a flood. So all threads
// of the process get real-time priority (SCHED_FIFO, see sched(7)): they run before every thread
// without it. Two limits protect the other programs of the node:
//
//   - On average, threads with real-time priority use at most half a processor per normal queue, and
//     at most half of the processors of the node. If the process needs more, its threads lose this
//     priority for some time.
//   - The worker of the flood queue uses a tenth of a processor, and more only while more than one
//     processor is idle.
//
// All threads have the same priority, because threads of a Go process wait for each other: Go's
// scheduler has locks, which each thread takes from time to time, and garbage collection stops all
// goroutines. If a thread of low priority had to wait for a processor, a worker would have to wait for
// this thread.
package realtime

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

const (
	// interval is the time between two decisions of a governor.
	interval = 100 * time.Millisecond
	// quiet is the minimum time between two log lines about the limit of real-time priority.
	quiet = time.Minute
)

// state describes the priority of the threads.
type state int

const (
	// unknown means that the threads may have different priorities.
	unknown state = iota
	normal
	realTime
)

// Governor sets the priority of the threads of this process, and limits the processor time of the
// flood worker.
type Governor struct {
	log logr.Logger
	// credit is the time for which the threads may use a processor with real-time priority.
	credit credit
	// share is the number of thousandths of a processor that the flood worker may use.
	share atomic.Int64

	// Only the goroutine of Run uses the fields below. set and measure are functions of this package,
	// and other functions in tests.
	set     func(attributes *unix.SchedAttr) error
	measure func() (measurement, error)
	state   state
	// rejected is set after the kernel has rejected real-time priority.
	rejected bool
	// logged is the text of the error that was logged last. limited is the time at which the limit of
	// real-time priority was logged last.
	logged  string
	limited time.Time
}

// New returns a governor for a dataplane with the given number of normal queues. It also sets
// GOMAXPROCS so that the workers of these queues, the flood worker and two further goroutines can run
// at the same time: Go counts a goroutine as running even while its thread waits for a processor.
// GOMAXPROCS is not higher, because garbage collection must not use all processors of a large machine
// with real-time priority.
func New(queues uint16, log logr.Logger) *Governor {
	workers := int(queues) + 1 // with the flood worker
	runtime.GOMAXPROCS(workers + 2)
	g := &Governor{log: log, set: setThreads, measure: measure}
	g.credit.perSecond = time.Duration(min(int(queues), runtime.NumCPU())) * time.Second / 2
	g.share.Store(leastShare)
	return g
}

// Run sets the priority of all threads until the context is canceled. Then it removes real-time
// priority. If the kernel rejects real-time priority, the threads get the shortest time slice instead,
// and Run logs the reason. The kernel rejects it without CAP_SYS_NICE, and in a control group without
// real-time budget (CONFIG_RT_GROUP_SCHED).
func (g *Governor) Run(ctx context.Context) {
	g.use(realTime)
	defer g.use(normal)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	before, err := g.measure()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err != nil {
			// Without measurements, there is no limit for threads with real-time priority.
			g.report(err, "Measuring the use of processors")
			g.use(normal)
			g.share.Store(leastShare)
			before, err = g.measure()
			continue
		}
		var now measurement
		if now, err = g.measure(); err == nil {
			g.decide(now.since(before))
			before = now
		}
	}
}

// decide sets the priority of the threads and the share of the flood worker, from the processor time
// that was used since the previous decision.
func (g *Governor) decide(u usage) {
	if u.elapsed <= 0 {
		return
	}
	g.share.Store(shareAfter(g.share.Load(), u))
	if g.credit.left(u, g.state != normal) {
		g.use(realTime)
		return
	}
	if g.state == realTime && time.Since(g.limited) > quiet {
		g.limited = time.Now()
		g.log.Info("The dataplane uses more processor time than the limit for real-time priority, so new connections can be slow while other programs use all processors")
	}
	g.use(normal)
}

// use sets or removes the real-time priority of all threads. After an error, the next decision tries
// it again.
func (g *Governor) use(want state) {
	if want == realTime && g.rejected {
		want = normal
	}
	if g.state == want {
		return
	}
	attributes := unix.SchedAttr{Policy: unix.SCHED_NORMAL, Runtime: shortSlice}
	if want == realTime {
		attributes = unix.SchedAttr{Policy: unix.SCHED_FIFO, Priority: 1}
	}
	err := g.set(&attributes)
	switch {
	case err == nil:
		g.state = want
	case want == realTime && errors.Is(err, unix.EPERM):
		g.state, g.rejected = unknown, true
		g.log.Info("Real-time priority is not available, so a flood can delay new connections of other pods", "reason", err.Error())
		g.use(normal)
	default:
		g.state = unknown
		g.report(err, "Setting the priority of threads")
	}
}

// report logs an error, unless it is the same as the previous one.
func (g *Governor) report(err error, message string) {
	if text := err.Error(); text != g.logged {
		g.logged = text
		g.log.Error(err, message)
	}
}

// Pause returns how long the flood worker must wait after it has used a processor for the given time.
func (g *Governor) Pause(used time.Duration) time.Duration {
	share := g.share.Load()
	return min(used*time.Duration(fullShare-share)/time.Duration(share), maxPause)
}
