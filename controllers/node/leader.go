package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/internal/health"
)

const (
	// listenInterval is the time between two attempts to listen on the metrics address.
	listenInterval = 100 * time.Millisecond
	// serverTimeout limits the time for reading the header of a metrics request.
	serverTimeout = 10 * time.Second
	// disabled is the address that disables a server.
	disabled = "0"
)

// leader returns a loop that waits until this agent leads on its node, and then calls the
// function run. While an agent is being replaced, two agents run on a node. Both watch the API
// server, but only the leading agent publishes trees, writes the status of the node and serves
// metrics.
func (a *agent) leader(run manager.RunnableFunc) manager.RunnableFunc {
	return func(ctx context.Context) error {
		end, err := statedir.Lead(ctx, a.StateDir)
		if err != nil {
			return unlessDone(ctx, err)
		}
		a.endLead = end
		a.publisher.lead()
		serving := make(chan error, 1)
		go func() { serving <- a.serveMetrics(ctx) }()
		return errors.Join(run(ctx), <-serving)
	}
}

// serveMetrics serves the metrics until the context ends. While another process uses the
// address, serveMetrics tries again to listen.
func (a *agent) serveMetrics(ctx context.Context) error {
	if a.MetricsAddress == "" || a.MetricsAddress == disabled {
		return nil
	}
	listener, err := net.Listen("tcp", a.MetricsAddress)
	for reported := false; errors.Is(err, unix.EADDRINUSE); reported = true {
		if !reported {
			a.Log.Error(err, "The address for metrics is in use, will retry")
		}
		select {
		case <-time.After(listenInterval):
		case <-ctx.Done():
			return nil
		}
		listener, err = net.Listen("tcp", a.MetricsAddress)
	}
	if err != nil {
		return fmt.Errorf("listening on the address for metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(ctrlmetrics.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	server := http.Server{Handler: mux, ReadHeaderTimeout: serverTimeout}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving metrics: %w", err)
	}
	return nil
}

// serveHealth serves the health checks until the returned function stop is called.
func (a *agent) serveHealth() (stop func(), err error) {
	if a.HealthAddress == "" || a.HealthAddress == disabled {
		return func() {}, nil
	}
	listener, err := health.Listen(a.HealthAddress)
	if err != nil {
		return nil, fmt.Errorf("listening on the health address: %w", err)
	}
	mux := http.NewServeMux()
	for path, checks := range map[string]map[string]healthz.Checker{
		"/healthz": {"ping": healthz.Ping},
		"/readyz":  {"published": a.publisher.check, "api-server": a.connection.check},
	} {
		handler := http.StripPrefix(path, &healthz.Handler{Checks: checks})
		mux.Handle(path, handler)
		mux.Handle(path+"/", handler)
	}
	go health.Serve(listener, mux)
	return func() { _ = listener.Close() }, nil
}
