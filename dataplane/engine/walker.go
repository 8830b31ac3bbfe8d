package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/rule"
)

const (
	// walkAttempts is how many walks in a row may fail before the engine says so.
	walkAttempts = 8
	// walkLooks is how many walks may follow one that changed marks.
	walkLooks = 4
	// walkPause is between a walk that failed and the next.
	walkPause = 20 * time.Millisecond
)

// walker judges open connections again, beside the workers and beside the
// generations that come: one walk after the other, as long as they are asked for.
//
// A walk turns to a newer generation wherever it is, so that it holds on to none
// but the newest and each connection meets a new judge within the time of one
// walk. When a walk that began with generation G ends, G is acknowledged, for:
//
//   - It began after the workers had carried out their last verdict by an older
//     generation and after the kernel had G's sets. So every connection that owes
//     its mark, or that it has none, to an older generation was there when the
//     walk began.
//   - It judged each of them, and none by an older generation than G: a walk only
//     turns to newer ones. Its marks are in place before it ends, and before the
//     next walk reads marks.
//   - Connections that began since were judged by the workers, by G or a newer
//     generation.
//
// A newer generation H that came meanwhile judged only a part of them. It is
// acknowledged by the walk that follows. So under a constant stream of
// generations each walk acknowledges one, the newest of when it began.
//
// Generations that come faster than walks end would keep two processors busy for
// good. So a walk that was asked for during the one before begins only after a
// rest as long as that one.
//
// Where a walk still judges by G when a worker judges by H, the two may give a
// connection different marks, in either order. The walk that H needs begins later
// and sets that right, before H is acknowledged.
//
// The kernel reads a mark, changes it and writes it without a lock. A rule of
// somebody else that sets other bits of a connection's mark just when a walk sets
// ours may take that back. So a walk that changed marks is followed by one that
// looks at them once more, after a rest, until one changes none, or that was tried
// some times. No generation waits for such a look: it is given up when one comes,
// whose own walk looks as well.
type walker struct {
	judgeAll func(ctx context.Context, newest func() rule.Evaluator) (conntrack.Result, error)
	// acknowledge is told the number of a generation, and what the walk did.
	acknowledge func(generation uint64, r conntrack.Result)
	fail        func(error)
	log         logr.Logger

	// asked holds a token while a walk is due.
	asked chan struct{}
	// mu guards newest, which is nil before the first, and stopLook, which gives up
	// a look and is nil while there is none.
	mu       sync.Mutex
	newest   *held
	stopLook context.CancelFunc
}

func newWalker(log logr.Logger) *walker {
	return &walker{log: log, asked: make(chan struct{}, 1)}
}

// ask makes the next walk due: for a generation that workers and sets follow from
// now on, or once more for the one that they follow already.
func (w *walker) ask(h *held) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.newest
	w.newest = h.share()
	before.release()
	select {
	case w.asked <- struct{}{}:
	default:
	}
	if w.stopLook != nil {
		w.stopLook()
	}
}

// run walks until the context ends.
func (w *walker) run(ctx context.Context) {
	defer w.close()
	var look <-chan time.Time
	for failures, looks := 0, 0; ; {
		looking := false
		select {
		case <-w.asked:
			looks = 0
		case <-look:
			looking = true
			looks++
		case <-ctx.Done():
			return
		}
		look = nil
		began, rest := time.Now(), walkPause
		changed, err := w.walk(ctx, looking)
		switch {
		case ctx.Err() != nil:
			return
		case looking && len(w.asked) > 0:
			// It may have been given up.
			continue
		case err != nil:
			w.log.Error(err, "judging open connections; beginning again")
			if failures++; failures == walkAttempts {
				w.fail(err)
			}
			w.again()
		case len(w.asked) == 0:
			failures = 0
			if changed > 0 && looks < walkLooks {
				look = time.After(time.Since(began))
			}
			continue
		default:
			failures, rest = 0, time.Since(began)
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return
		}
	}
}

// walk judges all connections once and gives how many marks changed. There is
// nothing to tell of a look that changed none.
func (w *walker) walk(ctx context.Context, look bool) (changed int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	now, look := w.begin(look, stop)
	begun := now.Number
	defer func() { now.release() }()
	r, err := w.judgeAll(ctx, func() rule.Evaluator {
		now = w.turn(now)
		return now.Judge
	})
	w.end()
	if err != nil {
		return 0, fmt.Errorf("judging open connections by generation %d: %w", begun, err)
	}
	if !look || r.Changed() > 0 {
		w.acknowledge(begun, r)
	}
	return r.Changed(), nil
}

// begin gives the generation that the walk is for. What was asked for until now is
// done with it, and then it is no mere look, which whoever asks gives up by stop.
func (w *walker) begin(look bool, stop context.CancelFunc) (*held, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.asked:
		look = false
	default:
	}
	if look {
		w.stopLook = stop
	}
	return w.newest.share(), look
}

// end lets nobody give up the walk any more.
func (w *walker) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopLook = nil
}

// turn releases a generation for the newest.
func (w *walker) turn(now *held) *held {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now == w.newest {
		return now
	}
	now.release()
	return w.newest.share()
}

// again makes a walk due that failed.
func (w *walker) again() {
	select {
	case w.asked <- struct{}{}:
	default:
	}
}

// close releases the newest generation.
func (w *walker) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.newest.release()
	w.newest = nil
}
