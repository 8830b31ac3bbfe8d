package queue

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// floodBatch is the maximum number of packets in a batch of the flood worker. Between two batches, the
// worker does not use its processor, so short batches shorten the time for which others wait.
const floodBatch = 16

// Background limits the processor time of the flood worker.
type Background interface {
	// Background is called by the worker on the thread on which the worker then stays.
	Background()
	// Pause returns how long the worker must wait after it has used a processor for the given time.
	Pause(used time.Duration) time.Duration
}

// stayOnThread locks the goroutine of the flood worker to its thread. The goroutine ends without
// unlocking it, so Go ends the thread together with the goroutine.
func (s *socket) stayOnThread() {
	if s.background == nil {
		return
	}
	runtime.LockOSThread()
	s.background.Background()
	s.used = threadTime()
}

// pause waits after a batch of the flood worker.
func (s *socket) pause() {
	if s.background == nil {
		return
	}
	if d := s.background.Pause(threadTime() - s.used); d > 0 {
		<-time.After(d)
	}
	s.used = threadTime()
}

// threadTime returns the processor time that the calling thread has used.
func threadTime() time.Duration {
	var t unix.Timespec
	// The call cannot fail, because every kernel has this clock.
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}
