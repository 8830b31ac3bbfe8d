// Package socket contains the unix sockets in a state directory. Unlike package statedir, it builds
// on every platform, because clients read the status of a dataplane from such a socket.
package socket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
)

const (
	statusName   = "dataplane.sock"
	handoverName = "handover.sock"
)

// Status returns the path of the socket on which the dataplane serves its status.
func Status(stateDir string) string { return filepath.Join(stateDir, statusName) }

// Handover returns the path of the socket for hand-overs. On this socket, the dataplane that holds
// the table lock accepts requests from its successor.
func Handover(stateDir string) string { return filepath.Join(stateDir, handoverName) }

// Listen listens on a unix socket with the given permissions. It atomically replaces a socket
// that another process has created at this path, so that clients can connect at any time. After
// the listener is closed, the socket file remains until another process replaces it. Two
// processes must not call Listen for the same path at the same time.
func Listen(path string, mode os.FileMode) (*net.UnixListener, error) {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, err
	}
	// By default, Close would remove the file at the temporary path. After the rename, a file at
	// this path may belong to another process.
	listener.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(temporary, mode), os.Rename(temporary, path)); err != nil {
		return nil, errors.Join(err, listener.Close(), os.Remove(temporary))
	}
	return listener, nil
}
