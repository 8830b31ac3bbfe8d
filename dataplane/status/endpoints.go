package status

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
)

const (
	// listenInterval is the interval between two attempts to listen on the address for metrics.
	listenInterval = 100 * time.Millisecond
	// serverTimeout limits the time for reading the header of a metrics request, and also the time
	// for writing the response.
	serverTimeout = 10 * time.Second
)

// Endpoints serves the status and the metrics of a dataplane while the dataplane holds the table
// lock. The metrics address and the socket of the state directory can be used by only one of a
// node's dataplanes at a time. Endpoints implements engine.Endpoints.
type Endpoints struct {
	StateDir string
	Source   Source
	// MetricsAddress is the TCP address for metrics. If MetricsAddress is empty, metrics are
	// served only on the socket.
	MetricsAddress string
	Log            logr.Logger

	// server serves the socket. It is nil while the socket is not being served.
	server *Server
	// yielded is closed by the method Yielded. It is nil while metrics are not being served on
	// the address.
	yielded chan struct{}
	// metrics counts the goroutines that serve the metrics on the address, so that Yielded can
	// wait for them.
	metrics sync.WaitGroup
}

// Acquired is called when this dataplane has acquired the table lock. Acquired starts to serve the
// metrics on the address. While another process, such as the previous dataplane, listens on the
// address, Acquired retries in the background.
func (e *Endpoints) Acquired() error {
	if e.MetricsAddress == "" {
		return nil
	}
	listener, err := net.Listen("tcp", e.MetricsAddress)
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listening on the address for metrics: %w", err)
	}
	yielded := make(chan struct{})
	e.yielded = yielded
	e.metrics.Go(func() {
		if err != nil {
			e.Log.Error(err, "The address for metrics is in use, will retry")
			listener = e.listenAgain(yielded)
		}
		if listener != nil {
			e.serveMetrics(listener, yielded)
		}
	})
	return nil
}

// listenAgain tries to listen until it succeeds. If the dataplane yields the table lock before
// that, listenAgain returns nil.
func (e *Endpoints) listenAgain(yielded <-chan struct{}) net.Listener {
	again := time.NewTicker(listenInterval)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			if listener, err := net.Listen("tcp", e.MetricsAddress); err == nil {
				return listener
			}
		case <-yielded:
			return nil
		}
	}
}

func (e *Endpoints) serveMetrics(listener net.Listener, yielded <-chan struct{}) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", e.Source.Metrics)
	server := http.Server{Handler: mux, ReadHeaderTimeout: serverTimeout, WriteTimeout: serverTimeout}
	e.metrics.Go(func() { _ = server.Serve(listener) }) // Serve returns http.ErrServerClosed after Close.
	<-yielded
	_ = server.Close() // Ignore the error: even if Close fails, the process no longer listens.
}

// Settled is called when this dataplane has taken over from the previous dataplane. Settled starts
// to serve the status on the socket, and replaces the socket of the previous dataplane.
func (e *Endpoints) Settled() error {
	before := e.server
	var err error
	if e.server, err = Serve(e.StateDir, e.Source); err != nil {
		return err
	}
	if before != nil {
		return before.Close()
	}
	return nil
}

// Yielded is called before this dataplane releases the table lock for a successor. Yielded stops
// serving the metrics on the address.
func (e *Endpoints) Yielded() {
	if e.yielded != nil {
		close(e.yielded)
		e.yielded = nil
	}
	e.metrics.Wait()
}

// Replaced is called when a successor has taken over. The socket in the state directory then
// belongs to the successor, so Replaced stops serving the status.
func (e *Endpoints) Replaced() {
	if e.server == nil {
		return
	}
	if err := e.server.Close(); err != nil {
		e.Log.Error(err, "Closing the status")
	}
	e.server = nil
}

// Close stops serving.
func (e *Endpoints) Close() {
	e.Yielded()
	e.Replaced()
}
