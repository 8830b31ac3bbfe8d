package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// AgentLock marks a state directory as that of a running agent.
type AgentLock struct {
	directory *os.File
}

// LockAgent marks a state directory as that of a running agent until the lock
// is closed or the process ends, whichever is first. It creates the directory
// if there is none. Several agents may hold the lock at the same time, as they
// do while one replaces the other.
//
// The lock is an open file description lock on the directory itself. It leaves
// no file behind, and it needs only the right to read the directory.
func LockAgent(stateDir string) (*AgentLock, error) {
	if err := makeDir(stateDir); err != nil {
		return nil, fmt.Errorf("marking the state directory as an agent's: %w", err)
	}
	directory, err := os.Open(stateDir)
	if err != nil {
		return nil, fmt.Errorf("marking the state directory as an agent's: %w", err)
	}
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	if err := unix.FcntlFlock(directory.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		return nil, errors.Join(fmt.Errorf("marking %s as an agent's: %w", stateDir, err), directory.Close())
	}
	return &AgentLock{directory}, nil
}

// Close removes the mark.
func (l *AgentLock) Close() error { return l.directory.Close() }

// AgentAlive reports whether an agent is running with a state directory. It
// takes no lock, so it cannot be mistaken for an agent.
func AgentAlive(stateDir string) (bool, error) {
	directory, err := os.Open(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for an agent: %w", err)
	}
	defer func() { _ = directory.Close() }()
	// The kernel returns the lock that a writer would wait for, or F_UNLCK.
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(directory.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return false, fmt.Errorf("looking for an agent in %s: %w", stateDir, err)
	}
	return lock.Type != unix.F_UNLCK, nil
}
