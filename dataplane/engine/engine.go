// Package engine runs the packet path of one node. The packet path consists of the
// nftables rules, the workers, and the tree by which the workers evaluate packets.
//
// A Dataplane watches the state directory for trees. It passes each new tree as a Generation
// to its Engine, which enforces one generation at a time.
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
	"github.com/sluicenet/sluice/dataplane/hold"
	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/internal/trigger"
)

// Config configures how a node enforces policies.
type Config struct {
	Marks ruleset.Marks
	// QueueBase is the number of the first queue of the first of two ranges, and Queues is
	// the number of queues with a worker in each range. See ruleset.Queues. An engine uses
	// the range that is free when it starts.
	QueueBase, Queues uint16
	FailurePolicy     ruleset.FailurePolicy
	Deny              ruleset.Deny
	// Hold is the longest time for which packets of unknown pods are held. If it is 0, no
	// packet is held.
	Hold time.Duration
	// Peers has the pod ranges, which show who may be a new pod. If it is nil, they are
	// unknown.
	Peers *hold.Peers
	// Events receives the verdicts for packets. It may be nil.
	Events *queue.Events
	// Routed is called with the result each time the engine has read the routes. The result
	// contains the addresses of the pods to which the node has a route through the link of a
	// single pod. Routed must not block. It may be nil. A Dataplane sets Routed itself.
	Routed func([]netip.Addr)
	// CNIResults is the directory in which the container runtime stores CNI results. If it is
	// "", the dataplane reads no CNI results.
	CNIResults string
	Log        logr.Logger
}

// ranges returns both ranges of queues of the node.
func (c *Config) ranges() [2]ruleset.Queues {
	return ruleset.Queues{Base: c.QueueBase, Count: c.Queues}.Ranges()
}

// Engine enforces one generation at a time.
//
// While one dataplane replaces another, two engines exist on a node. Each engine serves its
// own queues. Only one engine writes the nftables table: an engine writes the table from its
// call of TakeTable until its call of Yield.
type Engine struct {
	config Config
	kernel ruleset.Kernel
	// connections is the conntrack table. The walker re-evaluates all its connections for
	// each generation.
	connections *conntrack.Connections
	walker      *walker
	stopWalks   context.CancelFunc
	walking     sync.WaitGroup

	// mu guards now, sandboxes, agentGone, writes, serves and closed, and
	// serializes Use, repair and Close.
	mu  sync.Mutex
	now *shared
	// sandboxes contains the pod sandboxes of the node. It is nil until the first call of
	// SetSandboxes. agentGone is set if no agent runs.
	sandboxes *report.Sandboxes
	agentGone bool
	// writes is set while this engine may write the table. serves is set when the workers
	// return verdicts.
	writes, serves bool
	acknowledged   atomic.Uint64
	closed         bool

	started time.Time
	// statusMu guards the fields below. It is locked only while these fields are copied or
	// set, so that Status does not wait for Use.
	statusMu    sync.Mutex
	seen        Generation
	reevaluated report.Reevaluated
	bridges     bridges
	// table is nil before the first TakeTable. queues is the range of pool.
	table  *ruleset.Table
	pool   *queue.Pool
	queues ruleset.Queues
	// holder serves the hold queue of the range. It is nil if Config.Hold is 0.
	holder *hold.Holder
	// acknowledgement is closed at the first acknowledgement after TakeTable.
	acknowledgement chan struct{}

	links    *link.Finder
	linksDue trigger.Trigger
	// linksMu guards found, which is the result of the last search for the links of pods.
	linksMu sync.Mutex
	found   link.Links
	// untaken is closed when the engine stops writing the table.
	untaken chan struct{}

	watcher  *ruleset.Watcher
	watching sync.WaitGroup
	failed   chan error
	repairs  atomic.Uint64
}

// Start starts to enforce a first generation in the network namespace of the calling thread,
// on a node without another engine. The generation is not yet acknowledged when Start returns.
// Start returns the errors of Open and TakeTable.
func Start(config Config, first Generation) (*Engine, error) {
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
// free range of queues, so that every packet has a worker as soon as the rules send packets to
// these queues. The workers return no verdict before Serve or TakeTable is called, because the
// rules of a previous dataplane may still exist and may use other mark bits than the workers.
//
// Open returns ruleset.ErrKernel if the kernel lacks a required feature, and queue.ErrTaken if
// both ranges of queues are in use.
func Open(config Config, first Generation) (*Engine, error) {
	kernel, err := ruleset.FindKernel()
	if err != nil {
		return nil, err
	}
	if config.Peers == nil {
		config.Peers = hold.NewPeers()
	}
	e := &Engine{
		config: config, kernel: kernel, now: newShared(first, config.Log), seen: first, started: time.Now(),
		failed: make(chan error, 1), linksDue: trigger.New(), acknowledgement: make(chan struct{}),
	}
	if err := e.bind(); err != nil {
		return nil, err
	}
	return e, nil
}

// install installs the rules. The queues must already be bound.
func (e *Engine) install(first *Generation) (err error) {
	e.connections, err = conntrack.Open(e.config.Marks)
	if err != nil {
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
//     If the sets were updated before step 1, workers would evaluate packets of newly
//     isolated pods by the previous generation, which does not isolate these pods.
//  3. Use releases the held packets of the pods that the new generation contains.
//  4. After Use has returned, the walker re-evaluates all open connections by the new
//     generation. Then the walker acknowledges the generation, because the generation is
//     enforced for every packet.
//
// If Use returns an error, the packet path is at least as strict as before. Use may then be
// called again with the same generation.
//
// While this engine does not write the table, Use performs only step 1.
func (e *Engine) Use(g Generation) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.now
	if e.serves {
		e.swap(g.Evaluator)
	}
	e.now = newShared(g, e.config.Log)
	before.release()
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

// requestWalk requests a walk through the open connections if there is a tree. The caller must
// hold mu.
func (e *Engine) requestWalk() {
	if e.now.Number != 0 {
		e.walker.request(e.now)
	}
}

// acknowledge records that a generation is enforced for every packet. The walker calls
// acknowledge when a walk for the generation has ended.
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
// policies correctly. The caller must then close the engine and start a new one.
func (e *Engine) Failed() <-chan error { return e.failed }

// Close stops the workers and leaves the rules installed. Accepted flows continue, and the
// failure policy decides about all other packets. A second call of Close has no effect.
func (e *Engine) Close() error {
	e.mu.Lock()
	closed := e.closed
	e.closed = true
	e.mu.Unlock()
	if closed {
		return nil
	}
	err := errors.Join(e.Yield(), e.closeHolder(), e.pool.Close())
	if e.table != nil {
		err = errors.Join(err, e.table.Close())
	}
	e.now.release()
	return err
}
