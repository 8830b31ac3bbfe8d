package queue

import (
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	// lowestPriority is the nice value of the lowest priority.
	lowestPriority = 19
	// shortSlice is the time slice of a worker in nanoseconds, the shortest that the kernel supports.
	shortSlice = 100_000
)

// SetProcessors lets one goroutine per worker of a pool with the given number of normal queues run at the
// same time, and two further goroutines. Go runs a goroutine only on one of GOMAXPROCS virtual
// processors, and a worker whose thread waits for a processor of the machine keeps its virtual
// processor. Without this call, waiting workers of low priority could so stop all other workers.
func SetProcessors(queues uint16) {
	workers := int(queues) + 1 // with the worker of the flood queue
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), workers+2))
}

// schedule sets how the kernel schedules the thread of the goroutine that serves the socket. The
// goroutine stays locked to the thread, so Go ends the thread together with the goroutine.
//
// The worker of a flood queue gets the lowest priority. Every other worker gets a short time slice, so
// that it runs soon after a packet has arrived, even if other threads use all processors (Linux 6.12
// or later, see sched_setattr(2); older kernels ignore the slice). The worker gets no more processor
// time than without the short slice. If the kernel returns an error, the worker runs as other threads do.
func (s *socket) schedule() {
	if s.scheduled {
		return
	}
	s.scheduled = true
	runtime.LockOSThread()
	// In Linux, these settings apply to a thread. The number 0 is the calling thread.
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
