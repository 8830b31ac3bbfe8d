package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// seizeInterval is the interval between two attempts to take the locks.
const seizeInterval = 20 * time.Millisecond

// Seize takes both locks for a process that uninstalls. If a dataplane holds the table lock, the
// `request` parameter determines what Seize does. If `request` is true, Seize requests the table
// lock, and returns an error if the dataplane does not yield. If `request` is false, Seize calls
// the function `waiting` once, and then waits until the dataplane ends. If the state directory
// does not exist, Seize returns a Lock that holds neither lock.
func Seize(ctx context.Context, stateDir string, request bool, waiting func()) (*Lock, error) {
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
		case request && l.Turn():
			predecessor, err := RequestTable(ctx, stateDir, Request{})
			if err != nil {
				return nil, errors.Join(fmt.Errorf("a dataplane is running and does not yield, stop it first: %w", err), l.Release())
			}
			// When the connection is closed, the predecessor takes the table lock again, so
			// this process must take the lock before it closes the connection.
			if locked, err = l.Take(); locked || err != nil {
				return l, errors.Join(err, predecessor.Close())
			}
			if err := predecessor.Close(); err != nil {
				return nil, errors.Join(err, l.Release())
			}
		case !request && !waits:
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
