package queue

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// floodBatch is the maximum number of packets in a batch of the flood worker. Between two batches, the
// worker does not use its processor, so short batches shorten the time for which others wait.
const floodBatch = 16

// Pacer limits the processor time of the flood worker.
type Pacer interface {
	// Pause returns how long the worker must wait after it has used a processor for the given time.
	Pause(used time.Duration) time.Duration
}

// pacing makes the flood worker wait after each batch.
type pacing struct {
	limit Pacer
	// used is the processor time that the thread had used when the last pause ended.
	used time.Duration
}

func newPacing(limit Pacer) *pacing {
	if limit == nil {
		return nil
	}
	return &pacing{limit: limit}
}

// begin locks the goroutine of the worker to its thread, whose processor time is measured. The
// goroutine ends without unlocking it, so Go ends the thread together with the goroutine.
func (p *pacing) begin() {
	if p == nil {
		return
	}
	runtime.LockOSThread()
	p.used = threadTime()
}

// pause waits after a batch.
func (p *pacing) pause() {
	if p == nil {
		return
	}
	if d := p.limit.Pause(threadTime() - p.used); d > 0 {
		sleep(d)
	}
	p.used = threadTime()
}

// sleep makes the calling thread sleep in the kernel. With a timer, two other threads of the process
// would have to run for each pause: one when the goroutine begins to wait, and one when the timer
// expires.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	// If a signal interrupts the call, the kernel writes the remaining time to t.
	for unix.Nanosleep(&t, &t) == unix.EINTR {
	}
}

// threadTime returns the processor time that the calling thread has used.
func threadTime() time.Duration {
	var t unix.Timespec
	// The call cannot fail, because every kernel has this clock.
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}
