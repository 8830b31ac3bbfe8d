package engine

import (
	"time"

	"github.com/sluicenet/sluice/internal/trigger"
)

// repairPause is the minimum time between two repairs of the rules. It limits the load on this
// node if another program modifies the rules repeatedly.
const repairPause = 50 * time.Millisecond

// repairChanges repairs the rules whenever another program modifies them. It also reports the
// failure of a worker. It returns when the watcher is closed.
func (e *Engine) repairChanges() {
	changes, ended := trigger.New(), make(chan error, 1)
	e.watching.Go(func() { ended <- forward(e.watcher.Next, changes) })
	for {
		select {
		case <-changes.C():
			if err := e.repair(); err != nil {
				e.fail(err)
			}
			// Collect further changes during the pause, so that one repair covers all of these
			// changes.
			pause := time.NewTimer(repairPause)
			select {
			case <-pause.C:
			case err := <-ended:
				e.fail(err)
				return
			}
		case err := <-e.pool.Failed():
			e.fail(err)
		case err := <-ended:
			e.fail(err)
			return
		}
	}
}

// forward sets a trigger each time the function `next` reports a change. When `next` returns
// false, no further changes follow, and forward returns the error from `next`.
func forward(next func() (changed bool, err error), changes trigger.Trigger) error {
	for {
		changed, err := next()
		if !changed {
			return err
		}
		changes.Set()
	}
}

// repair reinstalls the rules and requests a walk through the open connections. The walk is
// necessary because packets may have passed without a verdict before the repair.
func (e *Engine) repair() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.writes {
		return nil
	}
	begin := time.Now()
	if err := e.table.Install(e.podsOf(&e.now.Generation)); err != nil {
		return err
	}
	e.repairs.Add(1)
	e.requestWalk()
	e.config.Log.Info("repaired the rules after another program modified them", "took", time.Since(begin))
	return nil
}

// fail sends an error to the channel that Failed returns. Only the first error is sent.
func (e *Engine) fail(err error) {
	if err == nil {
		return
	}
	select {
	case e.failed <- err:
	default:
	}
}
