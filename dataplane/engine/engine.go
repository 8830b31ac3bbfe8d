// Package engine is the packet path of one node as it runs: the rules, the
// workers, and the generation of the tree that they judge by.
package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// Config says how a node enforces.
type Config struct {
	Marks ruleset.Marks
	// QueueBase is the first queue; Queues of them follow each other.
	QueueBase, Queues uint16
	FailurePolicy     ruleset.FailurePolicy
	Deny              ruleset.Deny
	// Events, unless nil, are told what is decided.
	Events *queue.Events
	Log    logr.Logger
}

// Generation is one compiled tree, as the packet path sees it.
type Generation struct {
	// Number goes up with each tree that is published.
	Number uint64
	// Node, Pods and IsolatedPods are for the status.
	Node               string
	Pods, IsolatedPods int

	Judge rule.Evaluator
	// Isolated is whose packets are queued.
	Isolated ruleset.Isolated
	// LinkLocal is the addresses of pods that may send what they like from their
	// link-local addresses, too.
	LinkLocal []netip.Addr
	// Close is called once no packet is judged by this generation any more.
	Close func() error
}

// Engine enforces one generation after the other.
type Engine struct {
	config Config
	kernel ruleset.Kernel
	table  *ruleset.Table
	pool   *queue.Pool
	// connections are judged again with each generation, by the walker.
	connections *conntrack.Connections
	walker      *walker
	stopWalks   context.CancelFunc
	walking     sync.WaitGroup

	// mu orders changes.
	mu           sync.Mutex
	now          *held
	acknowledged atomic.Uint64
	closed       bool

	started time.Time
	// seenMu guards what follows. It is held only to copy.
	seenMu      sync.Mutex
	seen        Generation
	reevaluated report.Reevaluated

	links      *link.Finder
	linksAsked chan struct{}

	watcher  *ruleset.Watcher
	watching sync.WaitGroup
	failed   chan error
	repairs  atomic.Uint64
}

// Start begins to enforce in the network namespace of the calling thread. The
// order is: the first generation, then the queues, then the rules, so that no
// packet is queued that nobody judges, and then the first verdict: rules that were
// there may be of a dataplane with other marks and would not know it. The error is ruleset.ErrKernel where the
// kernel lacks something. The generation is not acknowledged yet when Start
// returns.
func Start(config Config, first Generation) (*Engine, error) {
	kernel, err := ruleset.FindKernel()
	if err != nil {
		return nil, err
	}
	e := &Engine{config: config, kernel: kernel, now: hold(first, config.Log), seen: first, started: time.Now(), failed: make(chan error, 1), linksAsked: make(chan struct{}, 1)}
	e.pool, err = queue.Open(queue.Config{
		Marks:    config.Marks,
		Base:     config.QueueBase,
		Queues:   config.Queues,
		FailOpen: config.FailurePolicy == ruleset.FailOpen,
		Events:   config.Events,
	}, nil)
	if err != nil {
		return nil, err
	}
	if err := e.install(first); err != nil {
		return nil, errors.Join(err, e.closeParts())
	}
	e.pool.Swap(first.Judge)
	e.walk()
	e.walker.ask(e.now)
	e.watching.Go(e.guard)
	e.watching.Go(e.followLinks)
	config.Log.Info("enforcing", "generation", first.Number, "queueBase", config.QueueBase, "queues", config.Queues,
		"queueing", kernel.Queueing, "failurePolicy", config.FailurePolicy, "deny", config.Deny)
	return e, nil
}

// install puts the rules in place once workers listen.
func (e *Engine) install(first Generation) (err error) {
	e.connections, err = conntrack.Open(e.config.Marks)
	if err != nil {
		return err
	}
	e.table, err = ruleset.Open(ruleset.Config{
		Marks:         e.config.Marks,
		QueueBase:     e.config.QueueBase,
		Queues:        e.config.Queues,
		FailurePolicy: e.config.FailurePolicy,
		Deny:          e.config.Deny,
		Queueing:      e.kernel.Queueing,
	})
	if err != nil {
		return err
	}
	if e.watcher, err = e.table.Watch(); err != nil {
		return err
	}
	if e.links, err = link.Open(); err != nil {
		return err
	}
	if err := e.findLinks(); err != nil {
		e.config.Log.Error(err, "finding the links of isolated pods; trying again")
		e.askLinks()
	}
	if err := e.table.Install(first.Isolated); err != nil {
		return err
	}
	if !e.table.ReversePath() {
		e.config.Log.Info("this kernel cannot find forged sources outside of prerouting (Linux 6.1 can); a pod that forges its address passes for another")
	}
	return nil
}

// walk lets a walker follow the generations.
func (e *Engine) walk() {
	var ctx context.Context
	ctx, e.stopWalks = context.WithCancel(context.Background())
	e.walker = newWalker(e.config.Log)
	e.walker.judgeAll, e.walker.acknowledge, e.walker.fail = e.connections.Reevaluate, e.acknowledge, e.fail
	e.walking.Go(func() { e.walker.run(ctx) })
	if e.config.FailurePolicy == ruleset.FailOpen {
		e.walking.Go(func() { e.followUnjudged(ctx) })
	}
}

// Use enforces another generation from now on, in this order:
//
//  1. Every packet is judged by it; the last batch of the generation before has
//     ended.
//  2. It decides whose packets are judged. Had this come first, the generation
//     before would have judged packets of pods that only this one isolates.
//  3. All connections that are open are judged by it, after Use has returned.
//     Then it is acknowledged: it holds for every packet.
//
// After an error the packet path is as strict as before or stricter, and the same
// generation can be used again.
func (e *Engine) Use(g Generation) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.now
	e.pool.Swap(g.Judge)
	e.now = hold(g, e.config.Log)
	before.release()
	e.seenMu.Lock()
	e.seen = g
	e.seenMu.Unlock()
	if err := e.table.SetIsolated(g.Isolated); err != nil {
		// Someone else changed the table. Making it whole again is the mend.
		e.config.Log.Error(err, "changing isolated pods; repairing the rules", "generation", g.Number)
		if err := e.table.Install(g.Isolated); err != nil {
			return fmt.Errorf("using generation %d: %w", g.Number, err)
		}
	}
	e.walker.ask(e.now)
	e.askLinks()
	return nil
}

// acknowledge completes a generation.
func (e *Engine) acknowledge(generation uint64, r conntrack.Result) {
	e.seenMu.Lock()
	e.reevaluated.Add(walkOf(time.Now(), r))
	e.seenMu.Unlock()
	e.acknowledged.Store(generation)
	e.config.Log.V(1).Info("generation is in force", "generation", generation, "connections", r.Connections,
		"accepted", r.Accepted, "denied", r.Denied, "cleared", r.Cleared, "took", r.Took)
}

// Failed gives the error after which the engine does not enforce as it should:
// it is to be closed and started again.
func (e *Engine) Failed() <-chan error { return e.failed }

// Close ends the workers. The rules stay: accepted flows go on, and for all
// others the failure policy decides. A second Close does nothing.
func (e *Engine) Close() error {
	e.mu.Lock()
	closed := e.closed
	e.closed = true
	e.mu.Unlock()
	if closed {
		return nil
	}
	err := e.closeParts()
	e.now.release()
	return err
}

func (e *Engine) closeParts() error {
	var err error
	if e.watcher != nil {
		err = e.watcher.Close()
	}
	if e.links != nil {
		err = errors.Join(err, e.links.Close())
	}
	e.watching.Wait()
	if e.walker != nil {
		e.stopWalks()
		e.walking.Wait()
	}
	err = errors.Join(err, e.pool.Close())
	if e.table != nil {
		err = errors.Join(err, e.table.Close())
	}
	if e.connections != nil {
		err = errors.Join(err, e.connections.Close())
	}
	return err
}
