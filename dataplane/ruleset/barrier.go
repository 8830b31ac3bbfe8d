package ruleset

import (
	"time"

	"golang.org/x/sys/unix"
)

// barrierPause is how long Barrier waits if membarrier(2) is not available. The pause is long
// enough because a packet runs through the rules without interruption, within microseconds.
const barrierPause = 100 * time.Millisecond

// Barrier waits until every packet that was running through the previous rules has left these
// rules. Such a packet then waits in a queue or has a verdict.
func Barrier() {
	// The kernel runs packets through the rules in RCU read-side critical sections.
	// MEMBARRIER_CMD_GLOBAL waits until all critical sections that have begun are over.
	const global = 1
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		time.Sleep(barrierPause)
	}
}
