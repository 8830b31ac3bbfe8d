package ruleset

import (
	"time"

	"golang.org/x/sys/unix"
)

// barrierPause is the time for which Barrier waits if the system call membarrier(2) is not
// available. This time is long enough, because the kernel processes a packet with the rules
// within microseconds and without interruption.
const barrierPause = 100 * time.Millisecond

// Barrier waits until the kernel has finished processing packets with the previous rules. Each of
// these packets then waits in a queue or has a verdict.
func Barrier() {
	// The kernel processes packets with the rules in RCU read-side critical sections.
	// MEMBARRIER_CMD_GLOBAL waits until the end of all critical sections that have already
	// started.
	const global = 1
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		time.Sleep(barrierPause)
	}
}
