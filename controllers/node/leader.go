package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluicenet/sluice/controllers/access"
	"github.com/sluicenet/sluice/controllers/node/endpoint"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/internal/health"
)

// disabled is the address that disables a server.
const disabled = "0"

// leader returns a loop. The loop calls the function `run` when this agent has become the leading
// agent of its node and the channel `registered` is closed. While an agent is being replaced, two
// agents run on a node. Both watch the API server, but only the leading agent publishes trees,
// writes the status of the node and serves the endpoint.
func (a *agent) leader(registered <-chan struct{}, run manager.RunnableFunc) manager.RunnableFunc {
	return func(ctx context.Context) error {
		end, err := statedir.Lead(ctx, a.StateDir)
		if err != nil {
			return unlessDone(ctx, err)
		}
		a.endLead = end
		a.publisher.setWaitReason(errors.New("no tree is published yet: the NodeEnforcer of the node does not exist yet"))
		select {
		case <-ctx.Done():
			return nil
		case <-registered:
		}
		a.publisher.startLeading()
		serving := make(chan error, 1)
		go func() { serving <- a.serveEndpoint(ctx) }()
		return errors.Join(run(ctx), <-serving)
	}
}

// newEndpoint returns the endpoint of the node. The endpoint authenticates and authorizes its clients
// with requests to the API server, for which it uses the permissions of the agent.
func newEndpoint(config *rest.Config, o Options) (*endpoint.Endpoint, error) {
	e := &endpoint.Endpoint{
		Address: o.MetricsAddress, Plain: o.MetricsPlain, Node: o.Node, StateDir: o.StateDir, Log: o.Log.WithName("endpoint"),
		Metrics: promhttp.HandlerFor(ctrlmetrics.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}),
	}
	var err error
	e.Reviewer, err = access.NewReviewer(config)
	return e, err
}

// serveEndpoint serves the endpoint until the context ends, unless it is disabled.
func (a *agent) serveEndpoint(ctx context.Context) error {
	if a.MetricsAddress == "" || a.MetricsAddress == disabled {
		return nil
	}
	return a.endpoint.Run(ctx)
}

// serveHealth serves the health checks until the returned function `stop` is called.
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
		"/readyz":  {"published": a.publisher.check, "api-server": a.connection.Check},
		// The lab uses this check to wait until a node enforces a change.
		"/enforced": {"generation": a.checkEnforced},
	} {
		handler := http.StripPrefix(path, &healthz.Handler{Checks: checks})
		mux.Handle(path, handler)
		mux.Handle(path+"/", handler)
	}
	go health.Serve(listener, mux)
	return func() { _ = listener.Close() }, nil
}
