// Package status is what a running dataplane tells others on this node: HTTP
// over a unix socket in the state directory.
//
//	GET /status    engine.Status as JSON
package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sluicenet/sluice/dataplane/engine"
)

// socketName is the socket's name in the state directory.
const socketName = "dataplane.sock"

// ErrNotRunning: no dataplane answers in this state directory.
var ErrNotRunning = errors.New("no dataplane is running with this state directory")

// Source gives the status of now.
type Source func() (engine.Status, error)

// Server answers until it is closed.
type Server struct {
	http     http.Server
	listener net.Listener
	done     chan struct{}
}

const (
	headerTimeout = 5 * time.Second
	socketMode    = 0o660
)

// Serve listens in a state directory. A socket that is there already, of a
// dataplane before, is replaced: there is no moment without one.
func Serve(stateDir string, source Source) (*Server, error) {
	path := filepath.Join(stateDir, socketName)
	// A name that no other process of this node uses at the same time.
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listening for status: %w", err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listening for status: %w", err)
	}
	// The name goes with the rename; whoever comes next replaces it.
	listener.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(fresh, socketMode), os.Rename(fresh, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("listening for status: %w", err), listener.Close(), os.Remove(fresh))
	}
	s := &Server{listener: listener, done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		now, err := source()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(now) // The client is gone: nobody is left to tell.
	})
	s.http = http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // It ends with http.ErrServerClosed, always.
	}()
	return s, nil
}

// Close stops to answer. The socket stays, and refuses connections.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	if err != nil {
		return fmt.Errorf("closing status: %w", err)
	}
	return nil
}
