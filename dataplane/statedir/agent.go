package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// AgentLock is a shared lock on a state directory. While an agent holds the lock, AgentAlive
// returns true.
type AgentLock struct {
	directory *os.File
}

// LockAgent takes a lock on a state directory. While a process holds the lock, AgentAlive
// reports that an agent uses the directory. The agent holds the lock until it calls Close or
// ends. LockAgent creates the directory if necessary. Several agents may hold the lock at the
// same time, for example while a new agent replaces an old one.
//
// The lock is an open file description lock on the directory itself. So the lock needs no file,
// and a process needs only read permission on the directory to take the lock.
func LockAgent(stateDir string) (*AgentLock, error) {
	if err := makeDir(stateDir); err != nil {
		return nil, fmt.Errorf("locking the state directory for an agent: %w", err)
	}
	directory, err := os.Open(stateDir)
	if err != nil {
		return nil, fmt.Errorf("locking the state directory for an agent: %w", err)
	}
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	if err := unix.FcntlFlock(directory.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s for an agent: %w", stateDir, err), directory.Close())
	}
	return &AgentLock{directory}, nil
}

// Close releases the lock.
func (l *AgentLock) Close() error { return l.directory.Close() }

// AgentAlive reports whether an agent holds the lock that LockAgent takes. AgentAlive only
// queries the lock and never takes it, so concurrent calls do not affect each other.
func AgentAlive(stateDir string) (bool, error) {
	directory, err := os.Open(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("checking for a running agent: %w", err)
	}
	defer func() { _ = directory.Close() }()
	// The kernel checks whether a write lock would conflict with another lock on the directory. If
	// so, it stores the other lock in the variable `lock`. Otherwise it sets lock.Type to F_UNLCK.
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(directory.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return false, fmt.Errorf("checking for a running agent in %s: %w", stateDir, err)
	}
	return lock.Type != unix.F_UNLCK, nil
}
