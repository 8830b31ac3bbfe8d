// Package engine runs the packet path of one node. The packet path consists of the
// nftables rules, the workers, and the tree by which the workers evaluate packets.
//
// A Dataplane follows the trees of a state directory. It passes each new tree as a
// Generation to its Engine, which enforces one generation after the other.
package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/internal/trigger"
)

// Config configures how a node enforces policies.
type Config struct {
	Marks ruleset.Marks
	// QueueBase is the number of the first queue. Queues is the number of queues. The
	// queue numbers are consecutive.
	QueueBase, Queues uint16
	FailurePolicy     ruleset.FailurePolicy
	Deny              ruleset.Deny
	// Events receives the verdicts for packets. It may be nil.
	Events *queue.Events
	// CNIResults is the directory in which the container runtime stores CNI results, or
	// "" if the dataplane must not read them.
	CNIResults string
	Log        logr.Logger
}

// Engine enforces one generation after the other.
type Engine struct {
	config Config
	kernel ruleset.Kernel
	table  *ruleset.Table
	pool   *queue.Pool
	// connections is the conntrack table. The walker re-evaluates all its connections for
	// each generation.
	connections *conntrack.Connections
	walker      *walker
	stopWalks   context.CancelFunc
	walking     sync.WaitGroup

	// mu guards now and closed, and serializes Use, repair and Close.
	mu           sync.Mutex
	now          *shared
	acknowledged atomic.Uint64
	closed       bool

	started time.Time
	// statusMu guards seen, reevaluated and bridges. It is locked only while these fields
	// are copied or set, so that Status does not wait for Use.
	statusMu    sync.Mutex
	seen        Generation
	reevaluated report.Reevaluated
	bridges     bridges

	links    *link.Finder
	linksDue trigger.Trigger

	watcher  *ruleset.Watcher
	watching sync.WaitGroup
	failed   chan error
	repairs  atomic.Uint64
}

// Start starts to enforce a first generation in the network namespace of the calling
// thread. It binds the queues before it installs the rules, so that every queued packet
// has a worker. The workers return no verdict before the rules are installed. The reason
// is that rules of a previous dataplane may exist, and that these rules may use other mark
// bits than the workers.
//
// Start returns ruleset.ErrKernel if the kernel lacks a required feature. When Start
// returns, the generation is not yet acknowledged.
func Start(config Config, first Generation) (*Engine, error) {
	kernel, err := ruleset.FindKernel()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		config: config, kernel: kernel, now: newShared(first, config.Log), seen: first, started: time.Now(),
		failed: make(chan error, 1), linksDue: trigger.New(),
	}
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
	e.pool.Swap(first.Evaluator)
	e.startWalker()
	e.walker.request(e.now)
	e.watching.Go(e.repairChanges)
	e.watching.Go(e.followLinks)
	config.Log.Info("enforcing", "generation", first.Number, "queueBase", config.QueueBase, "queues", config.Queues,
		"queueing", kernel.Queueing, "failurePolicy", config.FailurePolicy, "deny", config.Deny)
	return e, nil
}

// install installs the rules. The queues must already be bound.
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
		e.config.Log.Error(err, "finding the links of pods failed, will retry")
		e.linksDue.Set()
	}
	if err := e.table.Install(first.Isolated); err != nil {
		return err
	}
	if !e.table.ReversePath() {
		e.config.Log.Info("this kernel validates source addresses only in prerouting (Linux 6.1 or later can do it elsewhere); " +
			"a pod that forges its source address is treated as the pod that owns the address")
	}
	return nil
}

// startWalker starts the walker, which re-evaluates open connections.
func (e *Engine) startWalker() {
	var ctx context.Context
	ctx, e.stopWalks = context.WithCancel(context.Background())
	e.walker = newWalker(e.config.Log)
	e.walker.reevaluate, e.walker.acknowledge, e.walker.fail = e.connections.Reevaluate, e.acknowledge, e.fail
	e.walking.Go(func() { e.walker.run(ctx) })
	if e.config.FailurePolicy == ruleset.FailOpen {
		e.walking.Go(func() { e.followUnevaluated(ctx) })
	}
}

// Use enforces another generation, in this order:
//
//  1. The workers switch to the new generation. Use waits until the last batch of the
//     previous generation has ended.
//  2. The sets of the rules are updated, so that packets of the newly isolated pods are
//     queued. If the sets were updated first, the previous generation would evaluate
//     packets of pods that only the new generation isolates.
//  3. After Use has returned, the walker re-evaluates all open connections by the new
//     generation. Then the generation is acknowledged: it is enforced for every packet.
//
// If Use returns an error, the packet path is at least as strict as before. Use may then
// be called again with the same generation.
func (e *Engine) Use(g Generation) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.now
	e.pool.Swap(g.Evaluator)
	e.now = newShared(g, e.config.Log)
	before.release()
	e.statusMu.Lock()
	e.seen = g
	e.statusMu.Unlock()
	if err := e.table.SetIsolated(g.Isolated); err != nil {
		// Another program has modified the table. Reinstall the table to repair it.
		e.config.Log.Error(err, "changing the isolated pods failed, repairing the rules", "generation", g.Number)
		if err := e.table.Install(g.Isolated); err != nil {
			return fmt.Errorf("using generation %d: %w", g.Number, err)
		}
	}
	e.walker.request(e.now)
	e.linksDue.Set()
	return nil
}

// acknowledge records that a generation is enforced. The walker calls it after a walk for
// the generation has ended.
func (e *Engine) acknowledge(generation uint64, r conntrack.Result) {
	e.statusMu.Lock()
	e.reevaluated.Add(walkOf(time.Now(), r))
	e.statusMu.Unlock()
	e.acknowledged.Store(generation)
	e.config.Log.V(1).Info("generation is acknowledged", "generation", generation, "connections", r.Connections,
		"accepted", r.Accepted, "denied", r.Denied, "cleared", r.Cleared, "took", r.Took)
}

// Failed returns a channel that receives an error when the engine can no longer enforce
// correctly. The caller must then close the engine and start a new one.
func (e *Engine) Failed() <-chan error { return e.failed }

// Close ends the workers and leaves the rules installed. Accepted flows continue, and the
// failure policy decides about all other packets. A second call of Close does nothing.
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
