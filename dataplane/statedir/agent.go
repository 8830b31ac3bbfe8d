package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// LockAgent marks the state directory as used by an agent until Close of the lock
// or the end of the process. Several agents may hold it at once, such as the old
// and the new one during an update.
func LockAgent(stateDir string) (*AgentLock, error) {
	lock, err := lockAgent(stateDir)
	if err != nil {
		return nil, fmt.Errorf("locking state directory %s for an agent: %w", stateDir, err)
	}
	return lock, nil
}

// AgentLock is the lock of a running agent.
type AgentLock struct{ file *os.File }

// Close ends the lock. The file stays.
func (l *AgentLock) Close() error { return l.file.Close() }

func lockAgent(stateDir string) (*AgentLock, error) {
	for _, dir := range []string{stateDir, Trees(stateDir)} {
		if err := makeDir(dir); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(Trees(stateDir), agentLockName)
	// An agent of another user may have created the file, so that this one cannot
	// write to it. To lock it, it is enough to read it.
	file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := flock(file, unix.LOCK_SH); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &AgentLock{file}, nil
}

// AgentAlive reports whether an agent holds the lock of a state directory, in any
// process of this machine. A directory that does not exist has no agent.
func AgentAlive(stateDir string) (bool, error) {
	file, err := os.Open(filepath.Join(Trees(stateDir), agentLockName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for an agent of state directory %s: %w", stateDir, err)
	}
	defer file.Close() // Also ends the lock.
	err = flock(file, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for an agent of state directory %s: %w", stateDir, err)
	}
	return false, nil
}
