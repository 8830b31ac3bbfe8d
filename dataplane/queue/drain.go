package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// drainInterval is the interval at which Drain reads the number of waiting packets.
const drainInterval = time.Millisecond

// Drain waits until no packet waits in the queues, and then unbinds the queues. The caller must
// ensure that the rules no longer send packets to the queues. If the context ends before the
// queues are empty, Drain returns an error and the queues stay bound.
func (p *Pool) Drain(ctx context.Context) error {
	again := time.NewTicker(drainInterval)
	defer again.Stop()
	for {
		waiting, err := p.waiting()
		if err != nil || waiting == 0 {
			return errors.Join(err, p.Unbind())
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%d packets still wait in the queues: %w", waiting, context.Cause(ctx))
		}
	}
}

// waiting returns the number of packets that wait in the queues for a verdict.
func (p *Pool) waiting() (uint64, error) {
	var sum uint64
	queues, err := p.kernel.read()
	for _, q := range queues {
		if p.owns(q.number) {
			sum += q.waiting
		}
	}
	return sum, err
}

// owns reports whether a queue number belongs to the pool.
func (p *Pool) owns(number uint64) bool {
	return slices.ContainsFunc(p.workers, func(w *worker) bool { return uint64(w.number) == number })
}

// Bound returns the queue numbers in the given ranges that any process has bound in the network
// namespace of the calling thread.
func Bound(among ...ruleset.Queues) ([]uint64, error) {
	kernel, err := openKernelQueues()
	if err != nil {
		return nil, err
	}
	queues, err := kernel.read()
	var out []uint64
	for _, q := range queues {
		if slices.ContainsFunc(among, func(r ruleset.Queues) bool { return r.Contain(q.number) }) {
			out = append(out, q.number)
		}
	}
	return out, errors.Join(err, kernel.close())
}
