// Package queue judges the packets that the kernel queues (NFQUEUE): a pool of
// workers, one for each queue, read packets in batches with go-nfqueue, ask a
// Judge, and answer with a verdict in two bits of the packet mark.
//
// A worker never stalls and never ends on a packet: what cannot be read is
// dropped and counted.
package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// Config says which queues to serve, and how.
type Config struct {
	Marks ruleset.Marks
	// Base is the first queue; Queues of them follow each other.
	Base, Queues uint16
	// FailOpen lets packets pass that find a queue full. Otherwise they are
	// dropped.
	FailOpen bool
	// Events, unless nil, are told what is decided. One pool uses them.
	Events *Events
}

const (
	// copyRange is how much of a packet is copied to user space, in bytes: more
	// than all headers of a sane packet.
	copyRange = 256
	// maxWaiting is how many packets may wait in a queue for a verdict.
	maxWaiting = 8192
	// leaveTimeout bounds how long a worker may take to leave its queue.
	leaveTimeout = 2 * time.Second
)

// Pool is the workers of a node.
type Pool struct {
	config Config
	// judge is nil until the first Swap.
	judge atomic.Pointer[rule.Evaluator]
	// ready is closed by the first Swap, or by Close. Until then the workers keep
	// the packets of their first batch without a verdict.
	ready     chan struct{}
	readyOnce sync.Once
	workers   []*worker
	cancel    context.CancelFunc
	kernel    *kernelQueues
	failed    chan error
	close     sync.Once
}

// ErrTaken: a queue has a listener. The kernel says EPERM, as it does to those who
// lack CAP_NET_ADMIN.
var ErrTaken = errors.New("another process listens there, such as a dataplane that runs on this node already")

// Open binds the queues in the network namespace of the calling thread and
// starts to answer. With a nil judge packets wait until Swap gives one. The error
// is ErrTaken, and names the queue, where one has a listener.
func Open(config Config, judge rule.Evaluator) (*Pool, error) {
	if config.Queues == 0 || int(config.Base)+int(config.Queues) > 1<<16 {
		return nil, fmt.Errorf("queues from %d: %d of them: want 1 to %d", config.Base, config.Queues, 1<<16-int(config.Base))
	}
	kernel, err := openKernelQueues()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Pool{config: config, ready: make(chan struct{}), cancel: cancel, kernel: kernel, failed: make(chan error, config.Queues)}
	for i := range config.Queues {
		w, err := p.start(ctx, config.Base+i)
		if err != nil {
			if errors.Is(err, unix.EPERM) {
				err = fmt.Errorf("%w: %w", ErrTaken, err)
			}
			return nil, errors.Join(fmt.Errorf("binding queue %d: %w", config.Base+i, err), p.Close())
		}
		p.workers = append(p.workers, w)
	}
	if judge != nil {
		p.Swap(judge)
	}
	return p, nil
}

// release ends the workers' wait for a first evaluator.
func (p *Pool) release() { p.readyOnce.Do(func() { close(p.ready) }) }

// start binds one queue.
func (p *Pool) start(ctx context.Context, number uint16) (*worker, error) {
	w := &worker{pool: p, number: number}
	s, err := newSocket(w.begin, w.end, func() { w.counters.verdictErrors.Add(1) })
	if err != nil {
		return nil, err
	}
	flags := uint32(nfqueue.NfQaCfgFlagGSO)
	if p.config.FailOpen {
		flags |= nfqueue.NfQaCfgFlagFailOpen
	}
	nf, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      number,
		MaxQueueLen:  maxWaiting,
		MaxPacketLen: copyRange,
		Copymode:     nfqueue.NfQnlCopyPacket,
		Flags:        flags,
		AfFamily:     unix.AF_INET,
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	// go-nfqueue opens a socket of its own and offers no way not to.
	if err := nf.Con.Close(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	nf.Con = netlink.NewConn(s, s.kernel.Port())
	w.nf, w.socket = nf, s
	if err := nf.RegisterWithErrorFunc(ctx, w.judgePacket, func(err error) int { return w.readFailed(ctx, err) }); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.bound.Store(true)
	return w, nil
}

// Swap lets all packets from now on be judged by another judge, and waits until
// every batch that was begun before has ended, its verdicts carried out and its
// events named: the judge before is in use no more.
func (p *Pool) Swap(judge rule.Evaluator) {
	p.judge.Store(&judge)
	p.release()
	for _, w := range p.workers {
		w.batch.Lock()
		//nolint:staticcheck // Holding the lock once is the point.
		w.batch.Unlock()
	}
	p.config.Events.flush()
}

// Failed gives the error of a worker that ended. Its queue has no listener any
// more: the failure policy decides on its packets.
func (p *Pool) Failed() <-chan error { return p.failed }

// Stats sums up what the workers did and what the kernel says of the queues.
func (p *Pool) Stats() (report.Stats, error) {
	var s report.Stats
	var sides sideCounts
	for _, w := range p.workers {
		w.counters.addTo(&s, &sides)
	}
	s.Sides = sides.list()
	queues, err := p.kernel.read()
	for _, q := range queues {
		if q.number >= uint64(p.config.Base) && q.number < uint64(p.config.Base)+uint64(p.config.Queues) {
			s.Waiting += q.waiting
			s.QueueDropped += q.queueDropped
			s.SocketDropped += q.userDropped
		}
	}
	return s, err
}

// Close ends the workers after the batch that they are at, and leaves the
// queues. Packets that still wait are dropped by the kernel.
func (p *Pool) Close() error {
	var errs []error
	p.close.Do(func() {
		p.cancel()
		p.release()
		for _, w := range p.workers {
			errs = append(errs, w.close())
		}
		p.config.Events.flush()
		errs = append(errs, p.kernel.close())
	})
	return errors.Join(errs...)
}
