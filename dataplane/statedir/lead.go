package statedir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// leadName is the name of the lock file. The file is in DIR/tree, because the agent
	// cannot create files in DIR.
	leadName = "agent.lock"
	leadMode = 0o600
	// leadInterval is the interval between two attempts to take the lock.
	leadInterval = 20 * time.Millisecond
)

// Lead waits until this process holds the lock on DIR/tree/agent.lock. Only the agent that
// holds the lock may publish in the state directory and report the status of the node. Lead
// returns a function that releases the lock. The kernel also releases the lock when the process
// ends. The directory DIR/tree must exist.
func Lead(ctx context.Context, stateDir string) (end func() error, err error) {
	path := filepath.Join(treesDir(stateDir), leadName)
	again := time.NewTicker(leadInterval)
	defer again.Stop()
	for {
		file, err := lockFile(path)
		if err != nil {
			return nil, fmt.Errorf("waiting for the end of another agent: %w", err)
		}
		if file != nil {
			return file.Close, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// lockFile opens and locks a file. It creates the file if necessary. If another process holds
// the lock, if the directory does not exist, or if the file was removed during the call,
// lockFile returns nil.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, leadMode)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err = unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &lock)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, file.Close()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	opened, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(opened, now) {
		return nil, file.Close()
	}
	return file, nil
}
