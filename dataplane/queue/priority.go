package queue

import (
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	// lowestPriority is the nice value of the lowest priority.
	lowestPriority = 19
	// shortSlice is the time slice of the worker of a normal queue in nanoseconds. It is the
	// shortest slice that the kernel supports.
	shortSlice = 100_000
)

// SetProcessors raises GOMAXPROCS so that the workers of a pool with the given number of normal
// queues and two further goroutines can run at the same time.
//
// Go runs at most GOMAXPROCS goroutines at a time. A worker counts as running even while its thread
// waits for a processor of the machine. So with a lower GOMAXPROCS, waiting workers of low priority
// could stop all other workers.
func SetProcessors(queues uint16) {
	workers := int(queues) + 1 // with the worker of the flood queue
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), workers+2))
}

// schedule sets how the kernel schedules the thread of the goroutine that serves the socket. The
// goroutine stays locked to the thread, so Go ends the thread together with the goroutine.
//
// The worker of a flood queue gets the lowest priority. Every other worker gets a short time slice, so
// that it runs soon after a packet has arrived, even if other threads use all processors. A short
// slice does not increase the total processor time of the worker. It has an effect on Linux 6.12 or
// later, see sched_setattr(2). Older kernels ignore it. If the kernel returns an error, the thread
// keeps the default settings.
func (s *socket) schedule() {
	if s.scheduled {
		return
	}
	s.scheduled = true
	runtime.LockOSThread()
	// On Linux, these settings apply to a thread. The ID 0 means the calling thread.
	if s.background {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, lowestPriority)
		return
	}
	attributes, err := unix.SchedGetAttr(0, 0)
	if err == nil {
		attributes.Runtime = shortSlice
		_ = unix.SchedSetAttr(0, attributes, 0)
	}
}
