package ruleset

import (
	"time"

	"golang.org/x/sys/unix"
)

// barrierPause is the time for which Barrier waits if the system call membarrier(2) is not
// available. It is long enough, because a packet passes through the rules without interruption
// and within microseconds.
const barrierPause = 100 * time.Millisecond

// Barrier waits until every packet that is being processed with the previous rules has left
// these rules. The packet then waits in a queue or has a verdict.
func Barrier() {
	// The kernel processes packets with the rules in RCU read-side critical sections.
	// MEMBARRIER_CMD_GLOBAL waits until all critical sections that have already started have
	// ended.
	const global = 1
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		time.Sleep(barrierPause)
	}
}
