package engine

import (
	"time"

	"github.com/sluicenet/sluice/internal/trigger"
)

// repairPause is the shortest time between two repairs of the rules. A program that
// keeps modifying them must not keep this node busy.
const repairPause = 50 * time.Millisecond

// repairChanges repairs the rules when another program modifies them, until the
// watcher is closed. It also reports the failure of a worker.
func (e *Engine) repairChanges() {
	changes, ended := trigger.New(), make(chan error, 1)
	e.watching.Go(func() { ended <- forward(e.watcher.Next, changes) })
	for {
		select {
		case <-changes.C():
			if err := e.repair(); err != nil {
				e.fail(err)
			}
			// More changes coalesce in the meantime.
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

// forward sets a trigger for each change until next reports that there will be no
// more. It returns the error of next.
func forward(next func() (changed bool, err error), changes trigger.Trigger) error {
	for {
		changed, err := next()
		if !changed {
			return err
		}
		changes.Set()
	}
}

// repair reinstalls the rules. Packets may have passed while the rules were
// modified, so it also requests a walk over open connections.
func (e *Engine) repair() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	begin := time.Now()
	if err := e.table.Install(e.now.Isolated); err != nil {
		return err
	}
	e.repairs.Add(1)
	e.walker.request(e.now)
	e.config.Log.Info("repaired the rules after another program modified them", "took", time.Since(begin))
	return nil
}

// fail reports the first failure.
func (e *Engine) fail(err error) {
	if err == nil {
		return
	}
	select {
	case e.failed <- err:
	default:
	}
}
