package pace

import (
	"fmt"
	"os"
	"time"
)

const (
	// fullShare is the share of a worker that never pauses. leastShare is the share that the flood
	// worker has while at most one processor is idle. Both are in thousandths of a processor.
	fullShare, leastShare = 1000, 100
	// maxPause is the longest pause of the flood worker, so that the worker can end soon. With the
	// least share, a batch that uses a processor for more than 5.5 ms would need a longer pause.
	maxPause = 50 * time.Millisecond
)

// measurement contains the time for which processors of the machine were idle, as a sum over all
// processors.
type measurement struct {
	at   time.Time
	idle time.Duration
}

// idleSince returns the average number of processors that were idle since an earlier measurement.
func (m measurement) idleSince(before measurement) float64 {
	return (m.idle - before.idle).Seconds() / m.at.Sub(before.at).Seconds()
}

// measure reads the idle time of the machine.
func measure() (measurement, error) {
	m := measurement{at: time.Now()}
	// The file is small even on a machine with many processors, see proc_uptime(5).
	content, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return m, err
	}
	var up, idle float64
	if _, err := fmt.Sscan(string(content), &up, &idle); err != nil {
		return m, fmt.Errorf("/proc/uptime: %w", err)
	}
	m.idle = time.Duration(idle * float64(time.Second))
	return m, nil
}

// shareAfter returns the share of the flood worker that follows the given share. The parameter idle
// is the number of processors that were idle. The share grows only while more than one processor is
// idle, and falls quickly if less than three quarters of a processor are idle. So the flood worker
// leaves a processor to the connections of other pods.
func shareAfter(share int64, idle float64) int64 {
	switch {
	case idle < 0.75:
		return max(share/2, leastShare)
	case idle > 1.25:
		return min(share*3/2, fullShare)
	default:
		return share
	}
}
