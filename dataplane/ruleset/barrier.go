package ruleset

import (
	"time"

	"golang.org/x/sys/unix"
)

// barrierPause is the time for which Barrier waits if the system call membarrier(2) is not
// available. This time is long enough, because the kernel processes a packet with the rules
// within microseconds and without interruption.
const barrierPause = 100 * time.Millisecond

// Barrier waits until the kernel processes no packet with the previous rules any longer.
// Each packet that it processed with them then waits in a queue or has a verdict.
func Barrier() {
	// The kernel processes packets with the rules in RCU read-side critical sections.
	// MEMBARRIER_CMD_GLOBAL waits until all critical sections that have already started have
	// ended.
	const global = 1
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		time.Sleep(barrierPause)
	}
}
