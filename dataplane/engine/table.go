package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/hold"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/walker"
)

// bind binds a free range of queues. It returns queue.ErrTaken if both ranges are in use.
func (e *Engine) bind() error {
	var taken error
	for _, queues := range e.config.ranges() {
		pool, err := queue.Open(queue.Config{
			Marks:    e.config.Marks,
			Base:     queues.Base,
			Queues:   queues.Count,
			Flood:    e.floodQueue(queues),
			FailOpen: e.config.FailurePolicy == ruleset.FailOpen,
			Hold:     e.config.Peers,
			Events:   e.config.Events,
			Hits:     e.config.Hits,
			Pacer:    e.config.Pacer,
		}, nil)
		var holder *hold.Holder
		if err == nil {
			if holder, err = e.openHolder(queues); err != nil {
				err = errors.Join(err, pool.Close())
			}
		}
		if err == nil {
			e.statusMu.Lock()
			e.pool, e.queues, e.holder = pool, queues, holder
			e.statusMu.Unlock()
			return nil
		}
		if !errors.Is(err, queue.ErrTaken) {
			return err
		}
		taken = errors.Join(taken, err)
	}
	return fmt.Errorf("both ranges of queues are in use: %w", taken)
}

// floodQueue returns the number of the flood queue, or 0 if the kernel cannot measure rates.
func (e *Engine) floodQueue(q ruleset.Queues) uint16 {
	if !e.kernel.Lanes {
		return 0
	}
	return q.Flood
}

// Serve lets the workers return verdicts before TakeTable installs the rules. Otherwise,
// packets that arrive right after the rules have changed would wait until TakeTable returns.
// The caller must ensure that no rule of a previous dataplane sends packets to the queues of
// this engine, because such a rule may use other mark bits.
func (e *Engine) Serve() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.swap(e.now.Evaluator)
	e.serves = true
}

// TakeTable installs the rules, which send packets to the queues of this engine, and lets the
// workers return verdicts. From then on, the engine repairs the rules. The caller must hold the
// lock on the table. If the engine has drained and unbound its queues, TakeTable first binds a
// free range of queues.
//
// When TakeTable returns, open connections are not re-evaluated yet. See Reevaluate.
func (e *Engine) TakeTable() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pool.Unbound() {
		before := e.pool
		e.serves = false
		if err := e.bind(); err != nil {
			return err
		}
		if err := before.Close(); err != nil {
			return err
		}
	}
	e.statusMu.Lock()
	e.acknowledgement = make(chan struct{})
	e.statusMu.Unlock()
	if err := e.install(&e.now.Generation); err != nil {
		return errors.Join(err, e.closeTable())
	}
	e.config.Hits.Restart()
	e.swap(e.now.Evaluator)
	e.startWalker()
	e.requestWalk()
	e.writes, e.serves = true, true
	e.watching.Go(e.repairChanges)
	e.watching.Go(e.followLinks)
	if e.holder != nil {
		e.setTree(&e.now.Generation)
		e.untaken = make(chan struct{})
		e.watching.Go(e.followHolder)
	}
	what := "enforcing"
	if e.now.Number == 0 {
		what = "installed the rules"
	}
	e.config.Log.Info(what, "generation", e.now.Number, "queueBase", e.queues.Base, "queues", e.queues.Count,
		"queueing", e.kernel.Queueing, "failurePolicy", e.config.FailurePolicy, "deny", e.config.Deny)
	return nil
}

// openTable opens the table. If the table is already open, openTable configures it for the
// current range of queues.
func (e *Engine) openTable() error {
	if e.table != nil {
		queues := e.queues
		queues.Flood = e.floodQueue(queues)
		e.table.SetQueues(queues)
		return nil
	}
	table, err := ruleset.Open(ruleset.Config{
		Marks:         e.config.Marks,
		QueueBase:     e.queues.Base,
		Queues:        e.queues.Count,
		FloodQueue:    e.floodQueue(e.queues),
		FailurePolicy: e.config.FailurePolicy,
		Deny:          e.config.Deny,
		Queueing:      e.kernel.Queueing,
		Hold:          e.holder != nil,
		// Without these counters, the status does not contain the packets of pods.
		WithoutSetCounters: !e.kernel.SetCounters,
	})
	if err != nil {
		return err
	}
	e.statusMu.Lock()
	e.table = table
	e.statusMu.Unlock()
	return nil
}

// startWalker creates the walker that re-evaluates open connections. The first walk begins only
// after Reevaluate is called.
func (e *Engine) startWalker() {
	e.walker = walker.New(e.config.Log)
	e.walker.Reevaluate, e.walker.Acknowledge, e.walker.Fail = e.reevaluate, e.acknowledge, e.fail
}

// Reevaluate starts to re-evaluate open connections and to acknowledge generations. If this
// engine has replaced another engine, the caller must first wait until the replaced engine has
// returned its last verdict.
func (e *Engine) Reevaluate() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.writes || e.stopWalks != nil {
		return
	}
	var ctx context.Context
	ctx, e.stopWalks = context.WithCancel(context.Background())
	e.walking.Go(func() { e.walker.Run(ctx) })
	e.walking.Go(func() { e.followTraffic(ctx) })
	e.walking.Go(func() { e.floods.Follow(ctx, e.table.Flooders, e.names) })
	if e.config.FailurePolicy == ruleset.FailOpen {
		e.walking.Go(func() { e.followUnevaluated(ctx) })
	}
	if e.now.Number == 0 {
		// There is no generation to acknowledge.
		e.statusMu.Lock()
		close(e.acknowledgement)
		e.statusMu.Unlock()
	}
}

// names returns the names of the pods of the newest generation by address.
func (e *Engine) names() map[netip.Addr]string {
	e.statusMu.Lock()
	defer e.statusMu.Unlock()
	return e.seen.Names
}

// Acknowledged returns a channel that is closed when a generation has been acknowledged after
// the last call of TakeTable.
func (e *Engine) Acknowledged() <-chan struct{} {
	e.statusMu.Lock()
	defer e.statusMu.Unlock()
	return e.acknowledgement
}

// Yield stops writing the table and changing connection marks. When Yield returns, another
// engine may take the table. The workers continue to evaluate packets, and Use still changes
// the workers' evaluator.
func (e *Engine) Yield() error {
	e.mu.Lock()
	writes := e.writes
	e.writes = false
	e.mu.Unlock()
	if !writes {
		return nil
	}
	return e.closeTable()
}

// closeTable stops every goroutine that writes the table or watches the table for changes.
func (e *Engine) closeTable() error {
	var err error
	if e.watcher != nil {
		err = e.watcher.Close()
	}
	if e.links != nil {
		err = errors.Join(err, e.links.Close())
	}
	if e.untaken != nil {
		close(e.untaken)
	}
	e.watching.Wait()
	e.untaken = nil
	switch {
	case e.stopWalks != nil:
		e.stopWalks()
		e.walking.Wait()
	case e.walker != nil:
		e.walker.Close()
	}
	if e.connections != nil {
		err = errors.Join(err, e.connections.Close())
	}
	e.watcher, e.links, e.walker, e.stopWalks, e.connections = nil, nil, nil, nil, nil
	e.statusMu.Lock()
	e.bridges = bridges{}
	e.statusMu.Unlock()
	return err
}

// Drain serves the queues until no packet waits in them, and then unbinds the queues. Before Drain
// is called, another engine must have taken the table, and the kernel must no longer be processing
// packets with the old rules. If the context ends before the queues are empty, Drain returns an
// error and the queues stay bound.
//
// Drain also releases all held packets. The kernel applies the new rules to these packets, and the
// rules hold them again if their pods are still unknown.
func (e *Engine) Drain(ctx context.Context) error {
	if e.holder != nil {
		e.holder.HandOver()
		if err := e.closeHolder(); err != nil {
			return err
		}
	}
	return e.pool.Drain(ctx)
}

// Unbind unbinds the queues. The kernel drops the packets that wait in these queues.
func (e *Engine) Unbind() error { return errors.Join(e.closeHolder(), e.pool.Unbind()) }

// boundRange returns the range of queues that the engine has bound, or the zero value.
func (e *Engine) boundRange() ruleset.Queues {
	if e.pool.Unbound() {
		return ruleset.Queues{}
	}
	return e.queues
}
