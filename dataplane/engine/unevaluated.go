package engine

import (
	"context"
	"time"
)

// unevaluatedInterval is the interval at which the counter of unevaluated packets is read. It
// limits how often unevaluated packets cause a walk. It is also the maximum time after which a
// connection that an unevaluated packet opened is evaluated.
const unevaluatedInterval = 5 * time.Second

// followUnevaluated requests a walk through the open connections when failure policy Open has
// accepted packets without a verdict. A connection that such a packet opened has no mark, so
// the next packet in the original direction is evaluated. But packets in the reply direction
// are accepted, and the client may not send another packet. So only a walk ensures that the
// connection is evaluated.
func (e *Engine) followUnevaluated(ctx context.Context) {
	again := time.NewTicker(unevaluatedInterval)
	defer again.Stop()
	for last := uint64(0); ; {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		// If another program has removed the table, reading the counter fails. The repair of
		// the table then requests a walk.
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
