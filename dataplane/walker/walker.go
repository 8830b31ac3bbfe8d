// Package walker re-evaluates open connections while workers evaluate packets and new generations
// arrive.
package walker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/internal/trigger"
)

const (
	// walkAttempts is the number of consecutive failed walks after which the walker calls
	// Fail.
	walkAttempts = 8
	// maxChecks is the maximum number of check walks after a walk that has changed marks.
	maxChecks = 4
	// retryPause is the time between a failed walk and the next walk.
	retryPause = 20 * time.Millisecond
)

// Walker runs a walk through all open connections whenever a walk is requested. It runs only one
// walk at a time. Set the exported fields before the first call of Run.
//
// During a walk, the walker switches to the newest generation about every hundred connections. So
// a walk does not keep old generations open for long, and a new generation is applied to each
// connection within the duration of one walk. When a walk that began with generation G ends, the
// walker acknowledges G. G is then enforced for every connection, for these reasons:
//
//   - Before the walk began, the workers had returned their last verdict of an older
//     generation, and the sets of G were in the kernel. So if an older generation determined
//     the mark of a connection, or left the connection without a mark, this connection
//     existed when the walk began.
//   - The walk evaluated all these connections with G or a newer generation. All marks of
//     the walk are set before the walk ends, and before the next walk reads marks.
//   - The workers evaluated all later connections with G or a newer generation.
//
// If a newer generation H arrives during the walk, the walk evaluates only some of the connections
// with H. The next walk acknowledges H. So if generations arrive constantly, each walk
// acknowledges the generation that was the newest when the walk began.
//
// If generations arrive faster than walks end, walks without pauses would keep two processors
// busy. So if a walk was requested during the previous walk, the new walk begins after a pause
// that is as long as the previous walk.
//
// While a walk still uses G and the workers already use H, both may set the mark of the same
// connection, in any order. The walk for H begins later and corrects the mark before H is
// acknowledged.
//
// The kernel reads and writes a mark without a lock. If a rule of another program sets other bits
// of a mark while the walk changes the mark, the change by the walk can be lost. So after a walk
// that changed marks, the walker pauses and then runs another walk to check the marks. It repeats
// the check until a check changes no mark, at most maxChecks times. A new generation cancels a
// running check instead of waiting for it, because the walk for the new generation also corrects
// all marks.
type Walker struct {
	// Reevaluate runs one walk. It calls the function `newest` for each part of the walk.
	Reevaluate func(ctx context.Context, newest func() rule.Evaluator) (conntrack.Result, error)
	// Acknowledge is called with a generation number and the result of the walk for this
	// generation.
	Acknowledge func(number uint64, r conntrack.Result)
	// Fail is called when several consecutive walks have failed.
	Fail func(error)

	log logr.Logger
	// due is set while a walk is requested.
	due trigger.Trigger
	// mu guards `newest` and `cancelCheck`. `newest` is nil before the first request, and
	// cancelCheck is nil while no check runs.
	mu          sync.Mutex
	newest      *generation.Shared
	cancelCheck context.CancelFunc
}

// New returns a walker whose exported fields are not set yet.
func New(log logr.Logger) *Walker {
	return &Walker{log: log, due: trigger.New()}
}

// Request requests a walk. The `g` parameter is either a new generation, or the generation of the
// previous request, whose walk is then repeated. The workers and the nftables sets must already
// use a new generation.
func (w *Walker) Request(g *generation.Shared) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.newest
	w.newest = g.Acquire()
	before.Release()
	w.due.Set()
	if w.cancelCheck != nil {
		w.cancelCheck()
	}
}

// isDue reports whether a walk is requested.
func (w *Walker) isDue() bool { return len(w.due.C()) > 0 }

// Run runs walks until the context ends.
func (w *Walker) Run(ctx context.Context) {
	defer w.Close()
	var nextCheck <-chan time.Time
	for failures, checks := 0, 0; ; {
		check := false
		select {
		case <-w.due.C():
			checks = 0
		case <-nextCheck:
			check = true
			checks++
		case <-ctx.Done():
			return
		}
		nextCheck = nil
		began, pause := time.Now(), retryPause
		changed, err := w.walk(ctx, check)
		switch {
		case ctx.Err() != nil:
			return
		case check && w.isDue():
			// Ignore the error: a new request may have canceled the check.
			continue
		case err != nil:
			w.log.Error(err, "re-evaluating open connections failed, will retry")
			if failures++; failures == walkAttempts {
				w.Fail(err)
			}
			w.due.Set()
		case !w.isDue():
			failures = 0
			if changed > 0 && checks < maxChecks {
				nextCheck = time.After(time.Since(began))
			}
			continue
		default:
			failures, pause = 0, time.Since(began)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// walk re-evaluates all connections once and returns the number of changed marks. It
// acknowledges the generation with which the walk began, unless the walk is a check that
// changed no mark.
func (w *Walker) walk(ctx context.Context, check bool) (changed int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	now, check := w.begin(check, cancel)
	begun := now.Number
	defer func() { now.Release() }()
	r, err := w.Reevaluate(ctx, func() rule.Evaluator {
		now = w.switchToNewest(now)
		return now.Evaluator
	})
	w.end()
	if err != nil {
		return 0, fmt.Errorf("re-evaluating open connections by generation %d: %w", begun, err)
	}
	if !check || r.Changed() > 0 {
		w.Acknowledge(begun, r)
	}
	return r.Changed(), nil
}

// begin returns the generation for the next walk. The result stillCheck is true if the parameter
// `check` is true and no new walk has been requested. In this case, the walk is a check, and a new
// request during the walk cancels it.
func (w *Walker) begin(check bool, cancel context.CancelFunc) (g *generation.Shared, stillCheck bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.due.C():
		check = false
	default:
	}
	if check {
		w.cancelCheck = cancel
	}
	return w.newest.Acquire(), check
}

// end records that the current walk has ended, so that a request no longer cancels the walk.
func (w *Walker) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancelCheck = nil
}

// switchToNewest releases the given reference and returns a reference to the newest
// generation.
func (w *Walker) switchToNewest(now *generation.Shared) *generation.Shared {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now == w.newest {
		return now
	}
	now.Release()
	return w.newest.Acquire()
}

// Close releases the newest generation. Run calls Close when it returns, so Close is needed only
// for a walker that never runs.
func (w *Walker) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest.Release()
	w.newest = nil
}
