package engine

import (
	"time"
)

// repairPause bounds how often the rules are made whole again. Whoever keeps
// changing them must not keep this node busy.
const repairPause = 50 * time.Millisecond

// guard makes the rules whole again when somebody else changes them, and ends
// with the watcher. It also passes on the failure of a worker.
func (e *Engine) guard() {
	changes, ended := make(chan struct{}, 1), make(chan error, 1)
	e.watching.Go(func() {
		for {
			changed, err := e.watcher.Next()
			if !changed {
				ended <- err
				return
			}
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	})
	for {
		select {
		case <-changes:
			if err := e.repair(); err != nil {
				e.fail(err)
			}
			// More changes gather meanwhile.
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

// repair installs the rules again. What passed while they were not whole is
// judged by a walk that begins now.
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
	e.walker.ask(e.now)
	e.config.Log.Info("repaired the rules, which somebody else had changed", "took", time.Since(begin))
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
