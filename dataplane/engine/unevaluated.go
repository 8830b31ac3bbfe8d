package engine

import (
	"context"
	"time"
)

// unevaluatedInterval is how often the counter of unevaluated packets is read. It
// bounds how often connections are re-evaluated because of them, and how long a
// connection that a policy denies may continue because of one.
const unevaluatedInterval = 5 * time.Second

// followUnevaluated requests a walk over open connections after failure policy Open
// has accepted packets without a verdict. A connection that starts with such a
// packet has no mark, so the next packet in its original direction is evaluated.
// But that packet may never come, and packets in the reply direction are accepted.
func (e *Engine) followUnevaluated(ctx context.Context) {
	again := time.NewTicker(unevaluatedInterval)
	defer again.Stop()
	for last := uint64(0); ; {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		// If another program has removed the table, the counter is gone. Then the
		// repair requests a walk.
		accepted, err := e.table.Unevaluated()
		if err != nil || accepted == last {
			continue
		}
		last = accepted
		e.mu.Lock()
		e.walker.request(e.now)
		e.mu.Unlock()
	}
}
