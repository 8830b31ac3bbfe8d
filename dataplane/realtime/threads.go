package realtime

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// shortSlice is the time slice of threads without real-time priority, in nanoseconds. It is the
	// shortest slice that the kernel supports, and makes a thread run soon after a packet has
	// arrived. It does not change the processor time that a thread gets. It has an effect on Linux
	// 6.12 or later, see sched_setattr(2). Older kernels ignore it.
	shortSlice = 100_000
	// maxPasses is the maximum number of times that setThreads lists the threads.
	maxPasses = 10
)

var errThreads = errors.New("the process creates threads faster than their priority can be set")

// setThreads sets the scheduling attributes of all threads of this process. A thread that is created
// later inherits the attributes of the thread that creates it.
func setThreads(attributes *unix.SchedAttr) error {
	set := map[int]bool{}
	for range maxPasses {
		threads, err := threads()
		if err != nil {
			return err
		}
		before := len(set)
		for _, thread := range threads {
			if set[thread] {
				continue
			}
			if err := unix.SchedSetAttr(thread, attributes, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("sched_setattr: %w", err)
			}
			set[thread] = true
		}
		// A thread without the attributes may have created threads during this pass.
		if len(set) == before {
			return nil
		}
	}
	return errThreads
}

// threads returns the IDs of the threads of this process.
func threads() ([]int, error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, err
	}
	out := make([]int, 0, len(entries))
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, nil
}

// Available returns nil if threads of this process can get real-time priority, and otherwise the error
// of the kernel. It tries this on a thread that no other goroutine uses afterwards.
func Available() error {
	result := make(chan error)
	go func() {
		// The goroutine ends while it is locked to its thread. Go ends such a thread, or, if it is the
		// first thread of the process, never uses it again.
		runtime.LockOSThread()
		result <- unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_FIFO, Priority: 1}, 0)
	}()
	return os.NewSyscallError("sched_setattr", <-result)
}
