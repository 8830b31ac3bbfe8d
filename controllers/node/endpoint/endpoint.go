// Package endpoint serves the metrics, the status, the flow events and the open connections of a
// node. The agent serves them for the dataplane, because the dataplane has no access to the API
// server and cannot authenticate clients.
//
//	GET /metrics             metrics of the agent
//	GET /metrics/dataplane   metrics of the dataplane
//	GET /v1/status           status of the dataplane; with ?hits=true, with the counters of all rules
//	GET /v1/flows?denied=1   stream of flow events, as on the socket of the dataplane
//	GET /v1/connections      open connections, as on the socket of the dataplane
//
// The server uses HTTPS with a certificate that exists only in the memory of the agent. A
// request needs a bearer token, and the user of the token needs the right to read the
// content.
package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/access"
	"github.com/sluicenet/sluice/controllers/certificate"
	"github.com/sluicenet/sluice/controllers/observe/door"
	"github.com/sluicenet/sluice/dataplane/status"
)

const (
	// listenInterval is the time between two attempts to listen on the address.
	listenInterval = 100 * time.Millisecond
	// headerTimeout limits the time for reading the header of a request. idleTimeout limits
	// the time for which a connection without a request stays open.
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// certificateLifetime is longer than any agent runs. Clients compare the fingerprint
	// of the certificate and ignore its expiry date.
	certificateLifetime = 10 * 365 * 24 * time.Hour
	// maxStreams is the maximum number of streams of flow events at the same time.
	maxStreams = 16
	// maxLists is the maximum number of responses with open connections at the same time.
	maxLists = 2
	// maxConnections is the maximum number of connections at the same time. Other hosts can
	// connect without a token, so a limit is needed.
	maxConnections = 256
)

// Endpoint serves the metrics, the status, the flow events and the open connections of a node.
type Endpoint struct {
	// Address is the TCP address on which to listen, for example ":9640".
	Address string
	// If Plain is true, the endpoint serves only metrics, without TLS and authentication.
	// The address should then be a loopback address.
	Plain bool
	// Node is the name of the node. StateDir is the state directory of its dataplane.
	Node, StateDir string
	// Metrics serves the metrics of the agent.
	Metrics http.Handler
	// Reviewer authenticates and authorizes requests. It is nil if Plain is set.
	Reviewer *access.Reviewer
	Log      logr.Logger

	mu sync.Mutex
	// published describes the listening server. It is nil while the server does not listen.
	published *v1alpha1.NodeEndpoint
}

// Published returns the port and the fingerprint of the certificate, for the status of the
// node. It returns nil while the endpoint does not serve the status and the flow events. Each
// caller must treat the result as read-only. The result of a nil *Endpoint is nil.
func (e *Endpoint) Published() *v1alpha1.NodeEndpoint {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.published
}

// Run serves requests until the context ends. While another process, such as the previous
// agent, uses the address, Run tries again to listen.
func (e *Endpoint) Run(ctx context.Context) error {
	listener, err := e.listen(ctx)
	if listener == nil {
		return err
	}
	listener = &limitedListener{Listener: listener, slots: make(chan struct{}, maxConnections)}
	server := http.Server{Handler: e.plainHandler(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout}
	if !e.Plain {
		own, err := certificate.New(certificateLifetime, e.Node)
		if err != nil {
			_ = listener.Close()
			return err
		}
		server.Handler = e.handler()
		e.publish(&v1alpha1.NodeEndpoint{
			Port:              int32(listener.Addr().(*net.TCPAddr).Port),
			CertificateSHA256: certificate.Fingerprint(own.Certificate[0]),
		})
		defer e.publish(nil)
		listener = tls.NewListener(listener, &tls.Config{
			Certificates: []tls.Certificate{*own}, MinVersion: tls.VersionTLS13,
			// The events of a stream are written one after another, so HTTP/2 has no advantage.
			NextProtos: []string{"http/1.1"},
		})
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving metrics and flows: %w", err)
	}
	return nil
}

func (e *Endpoint) publish(published *v1alpha1.NodeEndpoint) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.published = published
}

// listen returns a listener on the address, or nil without an error if the context ended
// before the address was free.
func (e *Endpoint) listen(ctx context.Context) (net.Listener, error) {
	listener, err := net.Listen("tcp", e.Address)
	for reported := false; errors.Is(err, unix.EADDRINUSE); reported = true {
		if !reported {
			e.Log.Error(err, "The address for metrics is in use, will retry")
		}
		select {
		case <-time.After(listenInterval):
		case <-ctx.Done():
			return nil, nil
		}
		listener, err = net.Listen("tcp", e.Address)
	}
	if err != nil {
		return nil, fmt.Errorf("listening on the address for metrics: %w", err)
	}
	return listener, nil
}

func (e *Endpoint) plainHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", e.Metrics)
	mux.Handle("GET /metrics/dataplane", e.dataplane("/metrics"))
	return mux
}

// handler returns the handler of the protected endpoint. Requests for metrics need a token
// for the API server, such as the service account token of Prometheus. All other
// requests need a token that is valid only for this node. The operator has such tokens.
func (e *Endpoint) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", e.Reviewer.Protect(access.ReadMetrics, e.plainHandler()))
	mux.Handle("/metrics/dataplane", e.Reviewer.Protect(access.ReadMetrics, e.plainHandler()))
	audience := door.Audience(e.Node)
	mux.Handle("GET "+door.StatusPath, e.Reviewer.Protect(door.StatusRight(e.Node), e.dataplane("/status"), audience))
	mux.Handle("GET "+door.FlowsPath, e.Reviewer.Protect(door.FlowsRight(e.Node), limit(maxStreams, e.dataplane("/flows")), audience))
	mux.Handle("GET "+door.ConnectionsPath, e.Reviewer.Protect(door.ConnectionsRight(e.Node), limit(maxLists, e.dataplane("/connections")), audience))
	return mux
}

// dataplane returns a handler that forwards each request to the dataplane's Unix socket, with the
// given URL path instead of the path of the request.
func (e *Endpoint) dataplane(path string) http.Handler {
	transport := status.Transport(e.StateDir)
	// Each request needs a new connection. After the dataplane was replaced, a connection that
	// stayed open would still lead to the previous dataplane.
	transport.DisableKeepAlives = true
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = &url.URL{Scheme: "http", Host: "dataplane", Path: path, RawQuery: r.In.URL.RawQuery}
			r.Out.Header = http.Header{}
		},
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		},
	}
}

// limit returns a handler that rejects a request if it is already serving `n` requests.
func limit(n int, next http.Handler) http.Handler {
	slots := make(chan struct{}, n)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, fmt.Sprintf("the node already serves %d requests of this kind: try again later", n), http.StatusTooManyRequests)
		}
	})
}
