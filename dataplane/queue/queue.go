// Package queue evaluates the packets that the kernel queues (NFQUEUE). A pool has one
// worker for each queue. A worker reads packets in batches, evaluates them with a
// rule.Evaluator, and returns the verdicts to the kernel in two bits of the packet mark.
// go-nfqueue binds, configures and unbinds the queues.
//
// No packet can stall or end a worker. Packets that cannot be decoded are dropped
// and counted.
package queue

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/hits"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// Config has the parameters of a pool.
type Config struct {
	Marks ruleset.Marks
	// Base is the number of the first queue. Queues is the number of normal queues. The queue
	// numbers are consecutive.
	Base, Queues uint16
	// Flood is the number of the flood queue. If Flood is 0, there is no flood queue.
	Flood uint16
	// Pacer limits the processor time of the flood worker. If it is nil, there is no limit.
	Pacer Pacer
	// FailOpen makes the kernel accept packets that arrive at a full normal queue. If FailOpen is
	// not set, the kernel drops these packets. The kernel always drops packets that arrive at a
	// full flood queue, because a pod must not be able to bypass policies with a flood.
	FailOpen bool
	// Hold selects the denied packets that workers move to the hold queue. The number of the hold
	// queue is Base + Queues. If Hold is nil, workers move no packets to the hold queue.
	Hold Hold
	// Events receives the verdicts. It may be nil. Two pools must not share the same Events.
	Events *Events
	// Hits counts the rules that decide packets. It may be nil. Open starts the count from 0.
	Hits *hits.Counters
}

// Hold decides which denied packets the workers move to the hold queue.
type Hold interface {
	// Holds reports whether a worker moves a denied packet to the hold queue. The worker calls
	// it only if the policies of a local pod deny the packet and the peer of this pod is not a
	// local pod. The `peer` parameter is the address of the peer. All workers call Holds
	// concurrently, so it must neither allocate memory nor wait.
	Holds(peer netip.Addr) bool
}

const (
	// copyRange is the number of bytes of each packet that the kernel copies to user space. The
	// headers of most packets are shorter than copyRange.
	copyRange = 256
	// maxWaiting is the maximum number of packets that wait in a normal queue.
	maxWaiting = 8192
	// maxFlood is the maximum number of packets that wait in the flood queue. With a longer queue,
	// the flows of a flooding pod would only wait longer.
	maxFlood = 1024
	// unbindTimeout is the longest time for which the pool waits until a worker has unbound its
	// queue.
	unbindTimeout = 2 * time.Second
)

// Pool is a set of workers, one for each queue.
type Pool struct {
	config Config
	// evaluator is the evaluator that the workers use. It is nil until the first call of Swap.
	evaluator atomic.Pointer[evaluatorInUse]
	// ready is closed by the first call of Swap or Close. Until then, each worker keeps the
	// packets of its first batch without a verdict.
	ready     chan struct{}
	readyOnce sync.Once
	// workers contains the workers of the normal queues, followed by the worker of the flood queue.
	workers []*worker
	cancel  context.CancelFunc
	kernel  *kernelQueues
	failed  chan error
	// unbind and close ensure that only the first call of Unbind or Close has an effect.
	unbind, close sync.Once
	unbound       atomic.Bool
}

// evaluatorInUse is an evaluator, and the table for counting the hits of its rules.
type evaluatorInUse struct {
	rule.Evaluator
	table *hits.Table
}

// ErrTaken means that the kernel returned EPERM, usually because another process has
// bound the queue. The kernel also returns EPERM to a process without CAP_NET_ADMIN.
var ErrTaken = errors.New("another process has bound it, such as a dataplane that is already running on this node")

// Open binds the queues in the network namespace of the calling thread and starts the workers.
// If evaluator is nil, packets wait until the first call of Swap. If another process has bound
// a queue, Open returns an error that wraps ErrTaken and names the queue.
func Open(config Config, evaluator rule.Evaluator) (*Pool, error) {
	if config.Queues == 0 || int(config.Base)+int(config.Queues) > 1<<16 {
		return nil, fmt.Errorf("queues from %d: %d of them: want 1 to %d", config.Base, config.Queues, 1<<16-int(config.Base))
	}
	kernel, err := openKernelQueues()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Pool{config: config, ready: make(chan struct{}), cancel: cancel, kernel: kernel, failed: make(chan error, config.Queues+1)}
	numbers := p.numbers()
	lanes := config.Hits.Lanes(len(numbers))
	for i, number := range numbers {
		w, err := p.start(ctx, number, lanes[i])
		if err != nil {
			if errors.Is(err, unix.EPERM) {
				err = fmt.Errorf("%w: %w", ErrTaken, err)
			}
			return nil, errors.Join(fmt.Errorf("binding queue %d: %w", number, err), p.Close())
		}
		p.workers = append(p.workers, w)
	}
	if evaluator != nil {
		p.Swap(evaluator)
	}
	return p, nil
}

// numbers returns the numbers of the queues.
func (p *Pool) numbers() []uint16 {
	var out []uint16
	for i := range p.config.Queues {
		out = append(out, p.config.Base+i)
	}
	if p.config.Flood != 0 {
		out = append(out, p.config.Flood)
	}
	return out
}

// release closes the channel `ready`, so that the workers that wait for the first evaluator continue.
func (p *Pool) release() { p.readyOnce.Do(func() { close(p.ready) }) }

// start binds one queue and starts its worker.
func (p *Pool) start(ctx context.Context, number uint16, lane *hits.Lane) (*worker, error) {
	w := &worker{pool: p, number: number, lane: lane}
	s, err := newSocket(w)
	if err != nil {
		return nil, err
	}
	flags, waiting := uint32(nfqueue.NfQaCfgFlagGSO), uint32(maxWaiting)
	switch {
	case number == p.config.Flood:
		waiting, s.pacing, s.batch = maxFlood, newPacing(p.config.Pacer), floodBatch
	case p.config.FailOpen:
		flags |= nfqueue.NfQaCfgFlagFailOpen
	}
	nf, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      number,
		MaxQueueLen:  waiting,
		MaxPacketLen: copyRange,
		Copymode:     nfqueue.NfQnlCopyPacket,
		Flags:        flags,
		AfFamily:     unix.AF_INET,
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	// go-nfqueue always opens its own socket. Replace that socket with a socket of this
	// package.
	if err := nf.Con.Close(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	nf.Con = netlink.NewConn(s, s.kernel.Port())
	w.nf, w.socket = nf, s
	// The socket passes packets directly to the worker, so go-nfqueue receives no packets.
	none := func(nfqueue.Attribute) int { return 0 }
	if err := nf.RegisterWithErrorFunc(ctx, none, func(err error) int { return w.fail(ctx, err) }); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.bound.Store(true)
	return w, nil
}

// Swap replaces the evaluator. It waits until every batch that started with the previous
// evaluator has ended. By then, the kernel has carried out the verdicts of these batches, and
// the names in their events have been resolved. So the previous evaluator is no longer in use
// when Swap returns.
func (p *Pool) Swap(evaluator rule.Evaluator) {
	p.evaluator.Store(&evaluatorInUse{evaluator, p.config.Hits.Use(evaluator)})
	p.release()
	for _, w := range p.workers {
		w.batch.Lock()
		//nolint:staticcheck // The lock is taken only to wait for the batch.
		w.batch.Unlock()
	}
	p.config.Events.flush()
}

// Failed returns a channel that receives an error from each worker that fails. When a worker
// fails, its queue is unbound. The failure policy then applies to the packets that the rules send
// to this queue.
func (p *Pool) Failed() <-chan error { return p.failed }

// Stats returns the totals of the workers' counters, and the kernel's counters for the queues.
func (p *Pool) Stats() (report.Stats, error) {
	var s report.Stats
	var sides sideCounts
	for _, w := range p.workers {
		w.counters.addTo(&s, &sides)
	}
	s.Sides = sides.list()
	if p.config.Flood != 0 {
		s.FloodQueue = &report.FloodQueue{Packets: p.workers[len(p.workers)-1].counters.packets.Load()}
	}
	queues, err := p.kernel.read()
	for _, q := range queues {
		switch {
		case !p.owns(q.number):
		case q.number == uint64(p.config.Flood):
			s.FloodQueue.Waiting, s.FloodQueue.Dropped = q.waiting, q.queueDropped+q.userDropped
		default:
			s.Waiting += q.waiting
			s.QueueDropped += q.queueDropped
			s.SocketDropped += q.userDropped
		}
	}
	return s, err
}

// Unbind ends the workers after their current batch and unbinds the queues. The kernel drops
// the packets that still wait in the queues. The method Stats may still be called afterwards.
func (p *Pool) Unbind() error {
	var errs []error
	p.unbind.Do(func() {
		p.unbound.Store(true)
		p.cancel()
		p.release()
		for _, w := range p.workers {
			errs = append(errs, w.close())
		}
		p.config.Events.flush()
	})
	return errors.Join(errs...)
}

// Unbound reports whether Unbind has been called.
func (p *Pool) Unbound() bool { return p.unbound.Load() }

// Close unbinds the queues and closes the pool.
func (p *Pool) Close() error {
	err := p.Unbind()
	p.close.Do(func() { err = errors.Join(err, p.kernel.close()) })
	return err
}
