// Package engine runs the packet path of one node. The packet path consists of the nftables
// rules, the workers, and the tree with which the workers evaluate packets.
//
// A Dataplane watches the state directory for trees. It passes each new tree as a Generation to
// its Engine, which enforces one generation at a time.
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
	"github.com/sluicenet/sluice/dataplane/flood"
	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/hits"
	"github.com/sluicenet/sluice/dataplane/hold"
	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/masks"
	"github.com/sluicenet/sluice/dataplane/observe"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/walker"
	"github.com/sluicenet/sluice/internal/trigger"
)

// Config configures how a node enforces policies.
type Config struct {
	Marks ruleset.Marks
	// A node has two ranges of queues (see ruleset.Queues). QueueBase is the number of the
	// first queue of the first range. Queues is the number of normal queues in each range. An
	// engine uses the range that is free when it starts.
	QueueBase, Queues uint16
	FailurePolicy     ruleset.FailurePolicy
	Deny              ruleset.Deny
	// Hold is the maximum time for which packets of unknown pods are held. If Hold is 0, no
	// packet is held.
	Hold time.Duration
	// Peers contains the pod ranges, from which new pods get their addresses. If Peers is nil,
	// the ranges are unknown.
	Peers *hold.Peers
	// Events receives the verdicts for packets. Events may be nil.
	Events *queue.Events
	// Hits counts the rules that decide packets. If Hits is nil, rules are not counted.
	Hits *hits.Counters
	// Pacer limits the processor time of the flood worker. If it is nil, there is no limit.
	Pacer queue.Pacer
	// routed is called each time the engine has read the routes. The argument contains the
	// addresses of each pod that has its own link. routed must not block. It is nil unless a
	// Dataplane has set it.
	routed func([]netip.Addr)
	// masks records the mark masks of the node. It is nil unless a Dataplane has set it.
	masks *masks.Record
	// CNIResults is the directory in which the container runtime stores CNI results. If it is
	// empty, the dataplane reads no CNI results.
	CNIResults string
	Log        logr.Logger
}

// ranges returns both queue ranges of the node.
func (c *Config) ranges() [2]ruleset.Queues {
	return ruleset.NewQueues(c.QueueBase, c.Queues)
}

// Engine enforces one generation at a time.
//
// While one dataplane replaces another, two engines exist on a node. Each engine serves its own
// queues. Only one engine writes the nftables table: an engine writes the table from its call
// of TakeTable until its call of Yield.
type Engine struct {
	config Config
	kernel ruleset.Kernel
	// connections is the conntrack table. For each generation, the walker re-evaluates all
	// connections in this table.
	connections *conntrack.Connections
	usage       *conntrack.Usage
	// former is true while connections may have mark bits of earlier dataplanes. While walks run,
	// only the walks use the fields `connections` and `former`.
	former    bool
	walker    *walker.Walker
	stopWalks context.CancelFunc
	walking   sync.WaitGroup

	// mu guards the fields `now`, `sandboxes`, `agentGone`, `writes`, `serves` and `closed`. It
	// serializes the methods Use, repair and Close.
	mu  sync.Mutex
	now *generation.Shared
	// sandboxes contains the pod sandboxes of the node. It is nil until the first call of
	// SetSandboxes. agentGone is true while no agent is running.
	sandboxes *report.Sandboxes
	agentGone bool
	// writes is true while this engine may write the table. serves is true once the workers
	// return verdicts.
	writes, serves bool
	acknowledged   atomic.Uint64
	closed         bool

	started time.Time
	// statusMu guards the fields below. It is locked only while these fields are copied or set, so
	// that Engine.Status does not wait for Engine.Use.
	statusMu    sync.Mutex
	seen        generation.Generation
	reevaluated report.Reevaluated
	bridges     bridges
	// table is nil before the first TakeTable. queues is the queue range of the `pool` field.
	table  *ruleset.Table
	pool   *queue.Pool
	queues ruleset.Queues
	// holder serves the hold queue of this range. It is nil if Config.Hold is 0.
	holder *hold.Holder
	// acknowledgement is closed at the first acknowledgement after TakeTable.
	acknowledgement chan struct{}

	links    *link.Finder
	linksDue trigger.Trigger
	// linksMu guards `found`, which contains the links of pods from the latest search.
	linksMu sync.Mutex
	found   link.Links
	// traffic compares the number of packets that pods send with the number of packets that reach
	// the rules.
	traffic observe.Tracker
	// floods measures the rates of the pods whose first packets go to the flood queue.
	floods flood.Tracker
	// untaken is closed when the engine stops writing the table. Then the method followHolder
	// returns.
	untaken chan struct{}

	watcher  *ruleset.Watcher
	watching sync.WaitGroup
	failed   chan error
	repairs  atomic.Uint64
}

// Start opens an engine in the network namespace of the calling thread, takes the table, and
// starts to enforce the generation in `first`. The node must have no other engine. When Start
// returns, the generation is not acknowledged yet. Start returns the errors of Open and TakeTable.
func Start(config Config, first generation.Generation) (*Engine, error) {
	e, err := Open(config, first)
	if err != nil {
		return nil, err
	}
	if err := e.TakeTable(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.Reevaluate()
	return e, nil
}

// Open returns an engine in the network namespace of the calling thread. The engine binds a
// free range of queues, so that workers exist before the rules send packets to these queues.
// The workers return no verdict before Serve or TakeTable is called, because the rules of a
// previous dataplane may still exist and may use other mark bits than the workers.
//
// Open returns ruleset.ErrKernel if the kernel lacks a required feature. It returns
// queue.ErrTaken if both ranges of queues are in use.
func Open(config Config, first generation.Generation) (*Engine, error) {
	kernel, err := ruleset.FindKernel()
	if err != nil {
		return nil, err
	}
	if config.Peers == nil {
		config.Peers = hold.NewPeers()
	}
	e := &Engine{
		config: config, kernel: kernel, now: generation.Share(first, config.Log), seen: first, started: time.Now(),
		failed: make(chan error, 1), linksDue: trigger.New(), acknowledgement: make(chan struct{}),
	}
	if e.usage, err = conntrack.OpenUsage(); err != nil {
		return nil, err
	}
	if err := e.bind(); err != nil {
		return nil, errors.Join(err, e.usage.Close())
	}
	return e, nil
}

// install installs the rules. The queues must have been bound before.
func (e *Engine) install(first *generation.Generation) (err error) {
	if err := e.openConnections(); err != nil {
		return err
	}
	if err := e.openTable(); err != nil {
		return err
	}
	if e.watcher, err = e.table.Watch(); err != nil {
		return err
	}
	if e.links, err = link.Open(); err != nil {
		return err
	}
	if err := e.setLinks(first, e.sandboxes); err != nil {
		e.config.Log.Error(err, "finding the links of pods failed, will retry")
		e.linksDue.Set()
	}
	if err := e.table.Install(e.podsOf(first)); err != nil {
		return err
	}
	if !e.table.ReversePath() {
		e.config.Log.Info("this kernel validates source addresses only in prerouting (Linux 6.1 or later can do it elsewhere); " +
			"a pod that forges its source address is treated as the pod that owns the address")
	}
	return nil
}

// Use enforces another generation in these steps:
//
//  1. The workers switch to the new generation. Use waits until the last batch of the
//     previous generation has ended.
//  2. Use updates the nftables sets, so that packets of the newly isolated pods are queued.
//     If the sets were updated before step 1, workers would evaluate these packets with
//     the previous generation, which does not isolate the pods.
//  3. Use releases the held packets of the pods that the new generation contains.
//  4. After Use has returned, the walker re-evaluates all open connections with the new
//     generation. The generation is then enforced for every packet, so the walker
//     acknowledges it.
//
// If Use returns an error, the node accepts no packet that it would have denied before the
// call. Use may then be called again with the same generation.
//
// While this engine does not write the table, Use performs only step 1.
func (e *Engine) Use(g generation.Generation) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.now
	if e.serves {
		e.swap(g.Evaluator)
	}
	e.now = generation.Share(g, e.config.Log)
	before.Release()
	e.statusMu.Lock()
	e.seen = g
	e.statusMu.Unlock()
	if !e.writes {
		return nil
	}
	if err := e.setPods(&g); err != nil {
		return fmt.Errorf("using generation %d: %w", g.Number, err)
	}
	e.setTree(&g)
	e.requestWalk()
	e.linksDue.Set()
	return nil
}

// requestWalk requests a walk through the open connections, unless there is no tree yet. The
// caller must hold mu.
func (e *Engine) requestWalk() {
	if e.now.Number != 0 {
		e.walker.Request(e.now)
	}
}

// acknowledge records that a generation is enforced for every packet. The walker calls
// acknowledge when the walk for this generation has ended.
func (e *Engine) acknowledge(generation uint64, r conntrack.Result) {
	e.statusMu.Lock()
	e.reevaluated.Add(walkOf(time.Now(), r))
	e.acknowledged.Store(generation)
	select {
	case <-e.acknowledgement:
	default:
		close(e.acknowledgement)
	}
	e.statusMu.Unlock()
	e.config.Log.V(1).Info("generation is acknowledged", "generation", generation, "connections", r.Connections,
		"accepted", r.Accepted, "denied", r.Denied, "cleared", r.Cleared, "took", r.Took)
}

// Failed returns a channel that receives an error when the engine can no longer enforce
// policies. The caller must then close the engine and start a new engine.
func (e *Engine) Failed() <-chan error { return e.failed }

// Close stops the workers and leaves the rules installed. Accepted flows continue. The failure
// policy applies to all other packets. A second call has no effect.
func (e *Engine) Close() error {
	e.mu.Lock()
	closed := e.closed
	e.closed = true
	e.mu.Unlock()
	if closed {
		return nil
	}
	err := errors.Join(e.Yield(), e.closeHolder(), e.pool.Close(), e.usage.Close())
	if e.table != nil {
		err = errors.Join(err, e.table.Close())
	}
	e.now.Release()
	return err
}
