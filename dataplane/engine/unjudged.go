package engine

import (
	"context"
	"time"
)

// unjudgedPause bounds how often connections are judged again because packets
// passed without a verdict, and how long one may go on that way.
const unjudgedPause = 5 * time.Second

// followUnjudged has open connections judged again after the failure policy Open
// let packets pass. A connection that began with one has no mark, and is judged
// with the next packet of the end that opened it. That end may never send one,
// and what comes back is accepted.
func (e *Engine) followUnjudged(ctx context.Context) {
	again := time.NewTicker(unjudgedPause)
	defer again.Stop()
	for last := uint64(0); ; {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		// Where somebody removed the table the counter is gone, and the repair has
		// asked already.
		passed, err := e.table.Unevaluated()
		if err != nil || passed == last {
			continue
		}
		last = passed
		e.mu.Lock()
		e.walker.ask(e.now)
		e.mu.Unlock()
	}
}
