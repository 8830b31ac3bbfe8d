package engine

import (
	"context"
	"time"
)

// unevaluatedInterval is the time between two reads of the counter of unevaluated packets. A
// short interval can cause many walks. With a long interval, a connection can stay unevaluated
// for a long time after an unevaluated packet has opened it.
const unevaluatedInterval = 5 * time.Second

// followUnevaluated requests a walk through the open connections when the failure policy Open
// has accepted packets without a verdict. A connection that such a packet opened has no mark,
// so a worker evaluates the connection's next packet in the original direction. If the client
// sends no further packet, no worker evaluates the connection, but the rules still accept its
// packets in the reply direction. Only a walk therefore ensures that the connection is
// evaluated.
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
