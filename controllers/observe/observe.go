// Package observe serves the API group observe.policy.sluice.dev, with which users read the
// flow events and the statuses of the dataplanes of all nodes. The operator runs it.
//
//	user --> API server --> operator --> agent of the node --> socket of the dataplane
//
// The API server authenticates the user and forwards the request to the operator with a client
// certificate that proves its identity. The operator checks the rights of the user, and sends
// a request to the agent with a token that is valid only for this agent. A node therefore
// receives neither the token of a user nor a token that is valid anywhere else.
//
//	GET .../nodeflows?watch=true&fieldSelector=metadata.name=NODE   flow events, one per line
//	GET .../nodestatuses/NODE                                      status of the dataplane
//	GET .../nodestatuses/NODE?hits=true                            with the counters of all rules
//	GET .../nodeconnections/NODE                                   open connections, one per line
package observe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/access"
)

// Options configures a server.
type Options struct {
	// Address is the TCP address on which to listen, for example ":9643".
	Address string
	// Namespace and Service name the Service of this server. The API server connects to this
	// Service, at ServicePort.
	Namespace, Service string
	// ServicePort is the port of the Service. Default: 443.
	ServicePort int
	// Dial connects to an agent. By default, a net.Dialer connects.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  logr.Logger
}

const (
	// headerTimeout limits the time for reading the header of a request.
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// defaultServicePort is the port of the Service in config/manager.
	defaultServicePort = 443
)

// Server serves the API. It implements manager.Runnable.
type Server struct {
	options      Options
	reviewer     *access.Reviewer
	proxies      *proxies
	agents       *agents
	registration *registration
}

// New returns a server that uses the API server that `config` names.
func New(config *rest.Config, o Options) (*Server, error) {
	reviewer, err := access.NewReviewer(config)
	if err != nil {
		return nil, err
	}
	c, err := newClient(config)
	if err != nil {
		return nil, fmt.Errorf("creating a client: %w", err)
	}
	if o.ServicePort == 0 {
		o.ServicePort = defaultServicePort
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: connectTimeout}).DialContext
	}
	return &Server{
		options: o, reviewer: reviewer, proxies: &proxies{client: c},
		agents:       &agents{client: c, namespace: o.Namespace, dial: o.Dial, tokens: map[string]token{}},
		registration: &registration{client: c, namespace: o.Namespace, service: o.Service, port: int64(o.ServicePort), log: o.Log},
	}, nil
}

// newClient returns a client without a cache. It works even in an operator that is not the leader
// and therefore watches no objects.
func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"ConfigMap", "ServiceAccount"} {
		mapper.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	mapper.Add(v1alpha1.GroupVersion.WithKind("Enforcer"), meta.RESTScopeRoot)
	mapper.Add(v1alpha1.GroupVersion.WithKind("NodeEnforcer"), meta.RESTScopeRoot)
	mapper.Add(apiServiceKind, meta.RESTScopeRoot)
	return client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
}

// NeedLeaderElection returns false: every operator serves the API, because the Service sends
// requests to all of them.
func (*Server) NeedLeaderElection() bool { return false }

// Start serves the API until the context ends.
func (s *Server) Start(ctx context.Context) error {
	listener, err := net.Listen("tcp", s.options.Address)
	if err != nil {
		return fmt.Errorf("listening on the address for observers: %w", err)
	}
	return s.Serve(ctx, listener)
}

// Serve serves the API on a listener until the context ends. It registers the API with the API
// server only while an Enforcer exists whose nodes serve authenticated requests.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := http.Server{Handler: s.handler(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout}
	registered := make(chan struct{})
	go func() {
		defer close(registered)
		s.registration.run(ctx)
	}()
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(tls.NewListener(listener, &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.registration.certificate() },
		// The TLS server does not verify client certificates, because clients without a
		// certificate may use a token. The handler verifies them.
		ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"h2", "http/1.1"},
	}))
	<-registered
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving observers: %w", err)
	}
	return nil
}
