package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// AgentLock is a lock that shows that an agent uses a state directory.
type AgentLock struct {
	directory *os.File
}

// LockAgent locks a state directory to show that an agent uses it. The lock is held until
// it is closed or the process ends. LockAgent creates the directory if necessary. Several
// agents may hold the lock at the same time, for example while a new agent replaces an old
// one.
//
// The lock is an open file description lock on the directory itself. It leaves no file
// behind, and requires only read permission on the directory.
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

// Close releases the lock.
func (l *AgentLock) Close() error { return l.directory.Close() }

// AgentAlive reports whether an agent uses a state directory. It only queries the lock and
// never holds it, so a concurrent call does not mistake the caller for an agent.
func AgentAlive(stateDir string) (bool, error) {
	directory, err := os.Open(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for an agent: %w", err)
	}
	defer func() { _ = directory.Close() }()
	// The kernel returns a lock that conflicts with a write lock, or F_UNLCK if there is
	// none.
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(directory.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		return false, fmt.Errorf("looking for an agent in %s: %w", stateDir, err)
	}
	return lock.Type != unix.F_UNLCK, nil
}
