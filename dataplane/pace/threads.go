package pace

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// shortSlice is the time slice of the threads in nanoseconds. It is the shortest slice that the
	// kernel supports, and makes a thread run soon after a packet has arrived. It does not change the
	// processor time that a thread gets. It has an effect on Linux 6.12 or later, see
	// sched_setattr(2). Older kernels ignore it.
	shortSlice = 100_000
	// maxPasses is the maximum number of times that setSlice lists the threads.
	maxPasses = 10
)

var errThreads = errors.New("the process creates threads faster than their time slice can be set")

// setSlice sets the time slice of all threads of this process. A thread that is created later inherits
// the time slice of the thread that creates it.
func setSlice() error {
	attributes, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return fmt.Errorf("sched_getattr: %w", err)
	}
	attributes.Runtime = shortSlice
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
		// A thread without the time slice may have created threads during this pass.
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
