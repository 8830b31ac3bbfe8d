package engine

import (
	"context"
	"errors"
	"time"

	"github.com/sluicenet/sluice/dataplane/handover"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

const (
	// lockInterval is the time between two attempts to take the lock on the table.
	lockInterval = 10 * time.Millisecond
	// requestInterval is the time between two requests for the table.
	requestInterval = 5 * time.Second
	// settleTime limits how long a dataplane that has acquired the lock waits for its
	// predecessor to drain and for an acknowledgement. After this time, the dataplane reports
	// its own status in any case.
	settleTime = 2 * time.Second
	// drainTime is the maximum time for which a dataplane serves waiting packets before it
	// unbinds its queues.
	drainTime = 10 * time.Second
	// abandonTime limits how long a dataplane that has yielded keeps its queues bound. It
	// applies if the successor has ended and a third dataplane has taken the table.
	abandonTime = 2 * time.Second
)

// term describes a period during which this dataplane holds the lock on the table.
type term struct {
	lock *handover.Lock
	// predecessor is the dataplane that yielded the table to this one, or nil. vacated is true
	// if the predecessor has already unbound its queues. In this case, the installed rules
	// still send packets to these queues.
	predecessor *handover.Predecessor
	vacated     bool
}

// lead takes the table, and yields the table to each successor that requests it, until the
// context ends.
//
//	start -> acquire: bind queues, take the lock, or request it from its holder
//	      -> hold:    install rules, let the predecessor drain, re-evaluate, enforce
//	      -> pass:    yield to a successor, drain
//	      -> acquire: wait until the successor ends
func (d *Dataplane) lead(ctx context.Context) error {
	for first := true; ; first = false {
		t, err := d.acquire(ctx, first)
		if t == nil {
			return err
		}
		successor, err := d.hold(ctx, t, first)
		if successor == nil {
			return errors.Join(err, t.lock.Release())
		}
		if err := errors.Join(err, d.pass(ctx, t, successor)); err != nil {
			return err
		}
	}
}

// step logs a step of a hand-over.
func (d *Dataplane) step(what string) { d.config.Log.V(1).Info("hand-over: " + what) }

// acquire waits until this process holds the lock on the table. If takeOver is true and there
// is a tree to enforce, acquire requests the lock from the process that holds the lock. acquire
// returns nil when the context ends.
func (d *Dataplane) acquire(ctx context.Context, takeOver bool) (*term, error) {
	a := acquisition{Dataplane: d, lock: handover.NewLock(d.stateDir), takeOver: takeOver, began: time.Now()}
	again := time.NewTicker(lockInterval)
	defer again.Stop()
	for {
		t, err := a.try(ctx)
		if t != nil || err != nil {
			d.standby.Store(false)
			if err != nil {
				err = errors.Join(err, a.lock.Release())
			}
			return t, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, a.lock.Release()
		}
	}
}

// acquisition is the state of a call of acquire.
type acquisition struct {
	*Dataplane
	lock     *handover.Lock
	takeOver bool
	began    time.Time
	// nextRequest is the time of the next request to the process that holds the lock.
	nextRequest time.Time
	// reported is the last reason for waiting that was logged.
	reported string
}

// try tries to take the table once. It returns nil if the table cannot be taken yet.
func (a *acquisition) try(ctx context.Context) (*term, error) {
	e := a.engine.Load()
	vacate := false
	if a.takeOver {
		var err error
		if e, err = a.open(ctx); errors.Is(err, queue.ErrTaken) {
			vacate = true
		} else if err != nil {
			return nil, err
		}
	}
	locked, err := a.lock.Take()
	switch {
	case err != nil:
		return nil, err
	case locked:
		return a.withoutPredecessor(e)
	case !a.takeOver:
		return nil, errors.Join(a.lock.EndTurn(), a.abandon(ctx, e))
	case !a.lock.Turn() || e == nil && !vacate || time.Now().Before(a.nextRequest):
		return nil, nil
	}
	a.step("requesting the table")
	predecessor, err := handover.RequestTable(ctx, a.stateDir, handover.Request{MarkMask: a.config.Marks.Mask, Vacate: vacate})
	if err != nil {
		a.nextRequest = time.Now().Add(requestInterval)
		return nil, a.wait(e, "another dataplane of this node has the lock on the table and does not yield it: "+err.Error())
	}
	a.step("the predecessor has yielded")
	if locked, err = a.lock.Take(); err != nil || !locked {
		return nil, errors.Join(err, predecessor.Close())
	}
	return &term{a.lock, predecessor, vacate}, nil
}

// withoutPredecessor returns the term of a dataplane that acquired the lock without a hand-over.
// Another dataplane may still be running without this lock: an older version, or a dataplane with
// another state directory. Such a dataplane repairs the rules, so this dataplane must not change
// the rules before the other dataplane ends.
func (a *acquisition) withoutPredecessor(e *Engine) (*term, error) {
	others, err := a.others(e)
	if err != nil || len(others) == 0 {
		return &term{lock: a.lock}, err
	}
	return nil, a.wait(e, "another program has bound queues of this dataplane; "+
		"if it is a dataplane that cannot hand over, this one takes over when it ends")
}

// others returns the numbers of the queues in both ranges that other processes have bound.
func (a *acquisition) others(e *Engine) ([]uint64, error) {
	var ranges []ruleset.Queues
	for _, r := range a.config.ranges() {
		if e == nil || r != e.boundRange() {
			ranges = append(ranges, r)
		}
	}
	return queue.Bound(ranges...)
}

// wait records why the dataplane does not enforce policies yet. It logs each new reason once.
func (a *acquisition) wait(e *Engine, reason string) error {
	others, err := a.others(e)
	a.standby.Store(len(others) > 0) // If another process has bound queues, that process enforces policies.
	if a.reported != reason {
		a.reported = reason
		a.config.Log.Info("waiting: "+reason, "boundQueues", others)
	}
	return err
}

// abandon unbinds the queues of a dataplane that has yielded, if abandonTime has passed. The
// caller calls abandon while a third dataplane has the table: the successor has ended, but this
// dataplane cannot take the table back.
func (a *acquisition) abandon(ctx context.Context, e *Engine) error {
	if e == nil || e.pool.Unbound() || time.Since(a.began) < abandonTime {
		return nil
	}
	return drain(ctx, e)
}

// hold enforces policies until a successor requests the table, and then returns the successor. If
// the context ends or enforcement fails, hold returns no successor.
func (d *Dataplane) hold(ctx context.Context, t *term, first bool) (successor *handover.Successor, err error) {
	defer func() { err = errors.Join(err, t.close()) }()
	if err := d.endpoints.Acquired(); err != nil {
		return nil, err
	}
	server, err := handover.Serve(d.stateDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if err := d.forget(first); err != nil {
		return nil, err
	}
	e, successor, err := d.waitForTree(ctx, t, server, first)
	if e == nil {
		return successor, err
	}
	if t.predecessor != nil && !t.vacated {
		e.Serve()
	}
	d.step("taking the table")
	if err := e.TakeTable(); err != nil {
		return nil, err
	}
	if err := d.settle(ctx, t, e); err != nil {
		return nil, err
	}
	select {
	case successor = <-server.Successors():
	case <-ctx.Done():
	}
	return successor, nil
}

// forget is called when the dataplane gets the right to write the table. It closes the engine if
// the dataplane had this right before and no tree is published now. In this case, another process
// has uninstalled the rules after this dataplane lost the right.
func (d *Dataplane) forget(first bool) error {
	if first {
		return nil
	}
	published, err := statedir.Published(d.stateDir)
	if err != nil || published > 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.engine.Swap(nil)
	if e == nil {
		return nil
	}
	d.config.Log.Info("the trees have been removed: waiting for a first tree; packets are not affected before", "stateDir", d.stateDir)
	return e.Close()
}

// waitForTree waits for a tree and returns an engine for the tree. If the dataplane has just
// started and holds packets, waitForTree returns an engine even if there is no tree, see
// openWithoutTree. It returns nil if a successor requests the table first, or if the context ends.
func (d *Dataplane) waitForTree(ctx context.Context, t *term, server *handover.Server, first bool) (*Engine, *handover.Successor, error) {
	again := time.NewTicker(lockInterval)
	defer again.Stop()
	for settled := false; ; {
		e, err := d.openFirst(ctx, first)
		retry := again.C
		switch {
		case e != nil, err != nil && !errors.Is(err, queue.ErrTaken):
			return e, nil, err
		case err == nil:
			retry = nil
			if !settled {
				settled = true
				err = errors.Join(d.endpoints.Settled(), t.lock.EndTurn(), t.close())
			}
			if err != nil {
				return nil, nil, err
			}
		}
		select {
		case <-d.arrived.C():
		case <-retry:
		case successor := <-server.Successors():
			return nil, successor, nil
		case <-ctx.Done():
			return nil, nil, nil
		}
	}
}

// settle lets the predecessor drain its queues, and then starts the re-evaluation of open
// connections. It returns when a generation has been acknowledged or the context ends.
func (d *Dataplane) settle(ctx context.Context, t *term, e *Engine) error {
	drained, predecessor := make(chan error, 1), t.predecessor
	go func() {
		if predecessor == nil {
			drained <- nil
			return
		}
		ruleset.Barrier()
		d.step("requesting that the predecessor drains its queues")
		drained <- predecessor.Drain(ctx)
	}()
	late := time.NewTimer(settleTime)
	defer late.Stop()
	var acknowledged <-chan struct{}
	for settled := false; ; {
		select {
		case err := <-drained:
			if ctx.Err() != nil {
				return nil
			}
			if err := errors.Join(err, t.lock.EndTurn()); err != nil {
				return err
			}
			d.step("re-evaluating open connections")
			e.Reevaluate()
			acknowledged = e.Acknowledged()
		case <-late.C:
			settled = true
			if err := d.endpoints.Settled(); err != nil {
				return err
			}
		case <-acknowledged:
			if settled {
				return t.close()
			}
			return errors.Join(d.endpoints.Settled(), t.close())
		case <-ctx.Done():
			return nil
		}
	}
}

// close ends the connection to the predecessor.
func (t *term) close() error {
	if t.predecessor == nil {
		return nil
	}
	p := t.predecessor
	t.predecessor = nil
	return p.Close()
}
