package engine

import (
	"context"
	"time"
)

// unevaluatedInterval is the interval at which the counter of unevaluated packets is read.
// It limits how often unevaluated packets cause a walk. It is also the maximum time until
// a denied connection that such a packet opened is noticed.
const unevaluatedInterval = 5 * time.Second

// followUnevaluated requests a walk through the open connections after failure policy Open
// has accepted packets without a verdict. A connection that starts with such a packet has
// no mark, so the next packet in the original direction is evaluated. But there may be no
// such packet, while packets in the reply direction are accepted. So a walk is needed to
// evaluate the connection.
func (e *Engine) followUnevaluated(ctx context.Context) {
	again := time.NewTicker(unevaluatedInterval)
	defer again.Stop()
	for last := uint64(0); ; {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		// If another program has removed the table, the counter no longer exists. The
		// repair of the table then requests a walk.
		accepted, err := e.table.Unevaluated()
		if err != nil || accepted == last {
			continue
		}
		last = accepted
		e.mu.Lock()
		e.requestWalk()
		e.mu.Unlock()
	}
}
