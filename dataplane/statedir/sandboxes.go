package statedir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/report"
)

const (
	// sandboxesMode is the mode of the file. Only the dataplane's user can write to the file. The
	// dataplane's group can read it.
	sandboxesMode = 0o640
	// sandboxesSize is the largest size in bytes of a file that ReadSandboxes accepts.
	sandboxesSize = 16 << 20
)

// Sandboxes returns the path of the file with the pod sandboxes of the node.
func Sandboxes(stateDir string) string { return filepath.Join(stateDir, sandboxesName) }

// WriteSandboxes publishes the pod sandboxes of the node by an atomic rename. The users in this
// process's group can read the file. Several processes may publish at the same time.
// WriteSandboxes creates the state directory if necessary.
func WriteSandboxes(stateDir string, s report.Sandboxes) error {
	if err := writeSandboxes(stateDir, s); err != nil {
		return fmt.Errorf("publishing sandboxes: %w", err)
	}
	return nil
}

func writeSandboxes(stateDir string, s report.Sandboxes) error {
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := makeDir(stateDir); err != nil {
		return err
	}
	partial := filepath.Join(stateDir, partialSandboxes)
	file, err := createLocked(partial)
	if err != nil {
		return err
	}
	defer file.Close() // Close also releases the lock.
	if err := file.Truncate(0); err != nil {
		return err
	}
	if _, err := file.Write(append(content, '\n')); err != nil {
		return err
	}
	if err := errors.Join(file.Chown(-1, os.Getegid()), file.Chmod(sandboxesMode)); err != nil {
		return err
	}
	return os.Rename(partial, Sandboxes(stateDir))
}

// createLocked opens and locks a file that several processes create and rename. It creates the
// file if necessary, and waits until no other process holds the lock.
func createLocked(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock(file, unix.LOCK_EX); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		// While this call waited for the lock, another process may have renamed the file. In this
		// case, the locked file is no longer at the path, so try again.
		mine, err := file.Stat()
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if now, err := os.Lstat(path); err == nil && os.SameFile(mine, now) {
			return file, nil
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
}

// ReadSandboxes returns the published pod sandboxes of the node. If the dataplane has not
// published any sandboxes yet, it returns an error that wraps fs.ErrNotExist.
func ReadSandboxes(stateDir string) (report.Sandboxes, error) {
	return sandboxesDocument(stateDir).read()
}

func sandboxesDocument(stateDir string) *document[report.Sandboxes] {
	return &document[report.Sandboxes]{"sandboxes", Sandboxes(stateDir), sandboxesSize, parseSandboxes}
}

func parseSandboxes(content []byte) (s report.Sandboxes, err error) {
	if err := json.Unmarshal(content, &s); err != nil {
		return report.Sandboxes{}, err
	}
	return s, nil
}

// WatchSandboxes calls `handle` with the published pod sandboxes, and calls it again each time the
// sandboxes change. It makes one call at a time. If several lists are published during a call,
// WatchSandboxes delivers only the newest list. If the file cannot be read, it calls `handle` with
// the error. If no sandboxes have been published yet, WatchSandboxes waits for the file.
//
// WatchSandboxes returns nil when the context ends. It returns an error if the directory cannot be
// watched.
func WatchSandboxes(ctx context.Context, stateDir string, handle func(report.Sandboxes, error)) error {
	return watchDir(ctx, filepath.Clean(stateDir), nil, sandboxesDocument(stateDir).changes(handle))
}
