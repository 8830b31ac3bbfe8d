// Package status contains the server and the client for the status of a dataplane. The server
// and the client use HTTP over a unix socket in the state directory.
//
//	GET /status            report.Status as JSON
//	GET /status?hits=1     report.Status with the counters of all rules
//	GET /flows?denied=1    one line of JSON (report.Event) for each packet that is evaluated
//	                       after the request; with denied=1, only for packets that are not
//	                       allowed
//	GET /connections       one line of JSON (report.Connection) for each open connection, and a
//	                       last line {} if the response is complete
//	GET /metrics           metrics for Prometheus
//
// Health serves the health checks of a dataplane.
package status

import (
	"bufio"
	"context"
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
	"github.com/sluicenet/sluice/dataplane/statedir/socket"
)

const (
	statusPath      = "/status"
	flowsPath       = "/flows"
	connectionsPath = "/connections"
	deniedParameter = "denied"
	hitsParameter   = "hits"
)

// ErrNotRunning means that no dataplane serves its status in the state directory.
var ErrNotRunning = errors.New("no dataplane is running with this state directory")

// Source provides the data that a server serves.
type Source struct {
	// Status returns the current status.
	Status func() (report.Status, error)
	// Hits returns the counters of all rules. If Hits is nil, the status contains no counters.
	Hits func() *report.Hits
	// Events subscribes to the events of packets. If deniedOnly is true, it subscribes only to
	// events whose verdict is not Allow. The caller calls the returned function `stop` to end the
	// subscription. If Events is nil, the server does not serve /flows.
	Events func(deniedOnly bool) (events <-chan report.Event, stop func())
	// Connections calls a function with each open connection. If Connections is nil, the server does
	// not serve /connections.
	Connections func(ctx context.Context, f func(*report.Connection) error) error
	// Metrics serves /metrics. If Metrics is nil, the server does not serve /metrics.
	Metrics http.Handler
}

// Server serves a source until it is closed.
type Server struct {
	http     http.Server
	listener net.Listener
	done     chan struct{}
}

const (
	headerTimeout = 5 * time.Second
	socketMode    = 0o660
)

// Serve starts a server on the socket of a state directory. If the socket of a previous
// dataplane exists, Serve replaces it atomically.
func Serve(stateDir string, source Source) (*Server, error) {
	listener, err := socket.Listen(socket.Status(stateDir), socketMode)
	if err != nil {
		return nil, fmt.Errorf("serving status: %w", err)
	}
	s := &Server{listener: listener, done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statusPath, source.status)
	if source.Events != nil {
		mux.HandleFunc("GET "+flowsPath, source.flows)
	}
	if source.Connections != nil {
		mux.HandleFunc("GET "+connectionsPath, source.connections)
	}
	if source.Metrics != nil {
		mux.Handle("GET /metrics", source.Metrics)
	}
	s.http = http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // Serve returns http.ErrServerClosed after Close.
	}()
	return s, nil
}

// Remove removes sockets from a state directory. The dataplanes that served these sockets must
// have ended.
func Remove(stateDir string) error {
	path := socket.Status(stateDir)
	// The pattern also matches sockets that still have a temporary name.
	names, err := filepath.Glob(path + "*")
	for _, name := range names {
		if e := os.Remove(name); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return fmt.Errorf("removing the status socket: %w", err)
	}
	return nil
}

func (s *Source) status(w http.ResponseWriter, r *http.Request) {
	now, err := s.Status()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if wanted, _ := strconv.ParseBool(r.URL.Query().Get(hitsParameter)); wanted && s.Hits != nil {
		now.Hits = s.Hits()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(now) // Ignore the error: it means that the client is gone.
}

// flows writes events until the client disconnects or the server is closed. If the client
// reads too slowly, it misses events.
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
		// Flush the buffered lines to the client. The first flush also sends the HTTP header.
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

// maxConnections is the maximum number of connections in a response.
const maxConnections = 200_000

// errTooMany ends a response that would contain more connections than maxConnections.
var errTooMany = errors.New("too many connections")

// connections writes the open connections. It ends the response early if there are too many, or if
// they cannot be read. The last line is then missing.
func (s *Source) connections(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/jsonl")
	out := bufio.NewWriter(w)
	lines, count := json.NewEncoder(out), 0
	err := s.Connections(r.Context(), func(c *report.Connection) error {
		if count++; count > maxConnections {
			return errTooMany
		}
		return lines.Encode(c)
	})
	switch {
	case err == nil:
		_, _ = out.WriteString("{}\n")
	case count == 0:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
	_ = out.Flush() // An error means that the client is gone.
}

// Close stops the server. The socket file remains, but connections to it fail.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	if err != nil {
		return fmt.Errorf("closing status: %w", err)
	}
	return nil
}
