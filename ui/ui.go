// Package ui serves a web page that shows what policies do. The server runs on the user's machine with
// the user's rights, and is reachable only from this machine. It only reads. The page is in the
// folder web, and its compiled form in the folder dist.
package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/sluicenet/sluice/ui/internal/answer"
	"github.com/sluicenet/sluice/ui/internal/guard"
	"github.com/sluicenet/sluice/ui/source"
)

// headerTime is the time within which a browser must send the header of a request.
const headerTime = 5 * time.Second

// Server serves the page.
type Server struct {
	guard  *guard.Guard
	http   *http.Server
	cancel context.CancelFunc
	failed chan error
}

// Start starts a server for a source. The server listens on a port of 127.0.0.1. If the port is 0, the
// kernel selects a free one. Start reads the objects of the source, and returns an error if it cannot
// read them. The caller must call Close.
func Start(ctx context.Context, s source.Source, port int) (*Server, error) {
	ctx, cancel := context.WithCancel(ctx)
	answers := answer.New(ctx, s)
	if err := answers.Load(ctx); err != nil {
		cancel()
		return nil, err
	}
	server, err := listen(ctx, answers.Handler(), port)
	if err != nil {
		cancel()
		return nil, err
	}
	server.cancel = cancel
	return server, nil
}

func listen(ctx context.Context, api http.Handler, port int) (*Server, error) {
	files, err := assets()
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("serving the page: %w", err)
	}
	g, err := guard.New(listener.Addr())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", api)
	mux.Handle("/", files)
	s := &Server{guard: g, failed: make(chan error, 1)}
	s.http = &http.Server{Handler: g.Protect(mux), ReadHeaderTimeout: headerTime, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() { s.failed <- s.http.Serve(listener) }()
	return s, nil
}

// URL returns the address of the page. It contains a token that the page can use once.
func (s *Server) URL() string { return s.guard.URL() }

// Close ends all connections.
func (s *Server) Close() error {
	s.cancel()
	return s.http.Close()
}

// Options configures Run.
type Options struct {
	// Port is the TCP port, or 0 for any free port.
	Port int
	// Browser is true if Run opens the page in the user's browser.
	Browser bool
	Out     io.Writer
}

// Run serves the page until the context ends.
func Run(ctx context.Context, s source.Source, o Options) error {
	server, err := Start(ctx, s, o.Port)
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	fmt.Fprintf(o.Out, "The page of %s: %s\nThe address works once, in one browser. Ctrl-C stops the page.\n", s.Name(), server.URL())
	if o.Browser {
		defer openBrowser(ctx, server.URL())()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-server.failed:
		return fmt.Errorf("serving the page: %w", err)
	}
}
