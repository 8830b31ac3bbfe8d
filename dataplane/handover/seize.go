package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// seizeInterval is the time between two attempts to take the locks.
const seizeInterval = 20 * time.Millisecond

// Seize takes both locks for a process that uninstalls. If ask is set, a dataplane that has
// the table is asked to yield it, and Seize returns an error if it does not. Otherwise Seize
// waits until the dataplane ends, and calls waiting once. If the state directory does not
// exist, there is nothing to lock.
func Seize(ctx context.Context, stateDir string, ask bool, waiting func()) (*Lock, error) {
	l := NewLock(stateDir)
	if _, err := os.Stat(stateDir); errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	again := time.NewTicker(seizeInterval)
	defer again.Stop()
	for waits := false; ; {
		locked, err := l.Take()
		if locked || err != nil {
			return l, err
		}
		switch {
		case ask && l.Turn():
			predecessor, err := Ask(ctx, stateDir, Request{})
			if err != nil {
				return nil, errors.Join(fmt.Errorf("a dataplane is running and does not yield, stop it first: %w", err), l.Release())
			}
			// The predecessor must not write the table again before the locks are released.
			if locked, err = l.Take(); locked || err != nil {
				return l, errors.Join(err, predecessor.Close())
			}
			if err := predecessor.Close(); err != nil {
				return nil, errors.Join(err, l.Release())
			}
		case !ask && !waits:
			waits = true
			waiting()
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), l.Release())
		}
	}
}
