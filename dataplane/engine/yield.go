package engine

import (
	"context"
	"errors"
	"time"

	"github.com/sluicenet/sluice/dataplane/handover"
)

// pass yields the table to a successor and drains the queues. It returns when the successor has
// taken over or has ended.
func (d *Dataplane) pass(ctx context.Context, t *term, successor *handover.Successor) error {
	e := d.engine.Load()
	var err error
	if e != nil {
		err = e.Yield()
		if successor.Vacate || successor.MarkMask != d.config.Marks.Mask {
			// Either the successor found no free queues, or its rules use other mark bits than
			// these workers. So unbind the queues. The failure policy then applies until the
			// successor has installed its rules.
			err = errors.Join(err, e.Unbind())
		}
	}
	d.step("stopped writing the table")
	d.endpoints.Yielded()
	if err := errors.Join(err, t.lock.Release()); err != nil {
		return errors.Join(err, successor.Close())
	}
	d.config.Log.Info("yielded to another dataplane")
	if successor.Yielded() == nil && d.serveOut(ctx, e, successor) {
		d.endpoints.Replaced()
	}
	return successor.Close()
}

// serveOut serves the queues until the successor no longer needs them. It reports whether the
// successor has taken over. After the end of the context, serveOut continues to wait for the
// successor for at most settleTime.
func (d *Dataplane) serveOut(ctx context.Context, e *Engine, successor *handover.Successor) bool {
	delayed, cancel := withDelay(ctx, settleTime)
	defer cancel()
	select {
	case <-successor.Drain():
	case <-successor.Gone():
		return false
	case <-delayed.Done():
		return false
	}
	d.step("draining the queues")
	if e != nil {
		// If the successor ends now, this process takes the table again and needs its queues.
		// So cancel the drain, which would unbind the queues.
		go func() {
			select {
			case <-successor.Gone():
				cancel()
			case <-delayed.Done():
			}
		}()
		if err := drain(delayed, e); err != nil {
			d.config.Log.Error(err, "unbinding the queues")
		}
	}
	d.step("drained the queues")
	_ = successor.Drained() // Ignore the error: it means that the successor has ended.
	select {
	case <-successor.Gone():
	case <-ctx.Done():
	}
	return true
}

// withDelay returns a context that ends the given delay after ctx ends.
func withDelay(ctx context.Context, delay time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(delay, cancel) })
	return out, func() { stop(); cancel() }
}

// drain serves the queues of an engine until they are empty, and then unbinds them. After
// drainTime, drain unbinds the queues even if packets still wait in them. If the context ends
// before that, the queues stay bound.
func drain(ctx context.Context, e *Engine) error {
	limited, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	err := e.Drain(limited)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	e.config.Log.Error(err, "unbinding the queues")
	return e.Unbind()
}
