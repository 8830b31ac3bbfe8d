// Package status is what a running dataplane tells others on this node: HTTP
// over a unix socket in the state directory.
//
//	GET /status            report.Status as JSON
//	GET /flows?denied=1    report.Event as lines of JSON, from now on, without end
//	GET /metrics           metrics for Prometheus
//
// Health is for whoever started it, where that one listens.
package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

const (
	statusPath      = "/status"
	flowsPath       = "/flows"
	deniedParameter = "denied"
)

// ErrNotRunning: no dataplane answers in this state directory.
var ErrNotRunning = errors.New("no dataplane is running with this state directory")

// Source is what a server answers with.
type Source struct {
	// Status gives the status of now.
	Status func() (report.Status, error)
	// Events subscribes to the verdicts for packets, to all of them or only to
	// those that are not Allow. It may be nil: then /flows is not served.
	Events func(deniedOnly bool) (events <-chan report.Event, stop func())
	// Metrics serves /metrics. It may be nil: then /metrics is not served.
	Metrics http.Handler
}

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
	path := statedir.Socket(stateDir)
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
	mux.HandleFunc("GET "+statusPath, source.status)
	if source.Events != nil {
		mux.HandleFunc("GET "+flowsPath, source.flows)
	}
	if source.Metrics != nil {
		mux.Handle("GET /metrics", source.Metrics)
	}
	s.http = http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // It ends with http.ErrServerClosed, always.
	}()
	return s, nil
}

// Remove removes the sockets of dataplanes that have ended from a state
// directory.
func Remove(stateDir string) error {
	path := statedir.Socket(stateDir)
	// Beside the socket there may be some that were not renamed into place.
	names, err := filepath.Glob(path + "*")
	for _, name := range names {
		if e := os.Remove(name); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return fmt.Errorf("removing the socket for status: %w", err)
	}
	return nil
}

func (s *Source) status(w http.ResponseWriter, _ *http.Request) {
	now, err := s.Status()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(now) // The client is gone: nobody is left to tell.
}

// flows writes events until the client or the server ends it. A client that
// does not read misses events.
func (s *Source) flows(w http.ResponseWriter, r *http.Request) {
	deniedOnly := false
	if text := r.URL.Query().Get(deniedParameter); text != "" {
		var err error
		if deniedOnly, err = strconv.ParseBool(text); err != nil {
			http.Error(w, deniedParameter+": want true or false", http.StatusBadRequest)
			return
		}
	}
	events, stop := s.Events(deniedOnly)
	defer stop()
	w.Header().Set("Content-Type", "application/jsonl")
	control, lines := http.NewResponseController(w), json.NewEncoder(w)
	for {
		// What was written so far, at first the header.
		if control.Flush() != nil {
			return
		}
		select {
		case event := <-events:
			if lines.Encode(event) != nil {
				return
			}
			for range len(events) {
				if lines.Encode(<-events) != nil {
					return
				}
			}
		case <-r.Context().Done():
			return
		}
	}
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
