package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/lifecycle"
	"github.com/sluicenet/sluice/controllers/node/connection"
	"github.com/sluicenet/sluice/controllers/node/endpoint"
	"github.com/sluicenet/sluice/controllers/node/flooding"
	"github.com/sluicenet/sluice/controllers/node/podranges"
	"github.com/sluicenet/sluice/controllers/node/problems"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

// Options configures an agent.
type Options struct {
	// Node is the name of the node on which the agent runs. Namespace is the namespace of the
	// operator.
	Node, Namespace string
	// StateDir is the state directory, which agent and dataplane share.
	StateDir string
	// RenewInterval is the minimum time between two renewals of the Lease. 0 means 12 s.
	RenewInterval time.Duration
	// MetricsAddress is the listen address of the server in package endpoint. HealthAddress is
	// the listen address of the server for /healthz and /readyz, and may be "unix:PATH". An
	// empty address or "0" disables the server.
	MetricsAddress, HealthAddress string
	// If MetricsPlain is true, the server on MetricsAddress serves only metrics, without
	// TLS and authentication.
	MetricsPlain bool
	Log          logr.Logger
	// Registry is the registry in which the agent registers its metrics. The server on
	// MetricsAddress serves these metrics only if Registry is the registry of
	// controller-runtime.
	Registry prometheus.Registerer
}

// startTime is the time after the start at which the agent returns unused memory to the
// operating system. The agent needs this memory until it has published the first tree, which
// usually takes less time.
const startTime = 5 * time.Second

// Run keeps the tree of the node up to date until the context ends. Run waits while the API
// server cannot be reached, even at startup.
func Run(ctx context.Context, config *rest.Config, o Options) error {
	lock, err := statedir.LockAgent(o.StateDir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	return lifecycle.Run(ctx, o.Log, func(ctx context.Context) error { return run(ctx, config, o) })
}

func run(ctx context.Context, config *rest.Config, o Options) error {
	a, err := newAgent(o)
	if err != nil {
		return err
	}
	if a.endpoint, err = newEndpoint(config, o); err != nil {
		return err
	}
	config = rest.CopyConfig(config)
	config.Wrap(a.connection.Wrap)
	mgr, err := newManager(ctx, config, a)
	if err != nil {
		return fmt.Errorf("preparing controllers: %w", err)
	}
	if err := a.addControllers(ctx, mgr); err != nil {
		return fmt.Errorf("preparing controllers: %w", err)
	}
	stop, err := a.serveHealth()
	if err != nil {
		return err
	}
	defer stop()
	o.Log.Info("Starting", "node", o.Node, "stateDir", o.StateDir, "apiServer", config.Host)
	return errors.Join(mgr.Start(ctx), a.endLead())
}

// agent contains the parts of a running agent.
type agent struct {
	Options
	metrics    *metrics
	state      *state
	sandboxes  *sandboxes
	publisher  *publisher
	dataplane  *dataplane
	connection *connection.Connection
	endpoint   *endpoint.Endpoint
	// endLead is a function that ends this agent's right to publish.
	endLead func() error
}

func newAgent(o Options) (*agent, error) {
	m, err := newMetrics(o.Registry)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	a := &agent{
		Options: o, metrics: m, state: newState(o.Node), endLead: func() error { return nil },
		dataplane:  newDataplane(o.StateDir, m, o.Log.WithName("dataplane")),
		connection: connection.New(o.Log.WithName("connection"), m.connected, m.lists),
	}
	a.sandboxes = newSandboxes(a.state, o.StateDir, m, o.Log.WithName("sandboxes"))
	a.publisher, err = newPublisher(a.state, o.StateDir, m, o.Log.WithName("publisher"))
	if err != nil {
		return nil, err
	}
	a.publisher.published, a.publisher.checkFormat = a.dataplane.published, a.dataplane.checkFormat
	return a, nil
}

// addControllers adds the reconcilers of all kinds and the agent's loops to a manager.
func (a *agent) addControllers(ctx context.Context, mgr manager.Manager) error {
	t := newTiers(a, mgr)
	var loaders []loader
	for _, k := range []interface {
		add(context.Context, *agent, manager.Manager) (loader, error)
	}{networkPolicies(), pods(), namespaces(), nodes(), t.definitions()} {
		l, err := k.add(ctx, a, mgr)
		if err != nil {
			return err
		}
		loaders = append(loaders, l)
	}
	loaders = append(loaders, t)
	publish := func(ctx context.Context) error { return a.publish(ctx, loaders) }
	writer := a.statusWriter(mgr)
	registered := make(chan struct{})
	register := func(ctx context.Context) error {
		defer close(registered)
		writer.Register(ctx)
		return nil
	}
	for _, run := range []manager.RunnableFunc{publish, t.run, a.sandboxes.run, a.dataplane.run, register, a.leader(registered, writer.Run)} {
		if err := mgr.Add(run); err != nil {
			return err
		}
	}
	return errors.Join(flooding.Add(mgr, a.dataplane.status), podranges.Add(mgr, a.Namespace, a.Node, a.StateDir, controllerOptions()),
		problems.Add(mgr, a.Node, a.Log.WithName("problems"), controllerOptions()))
}

// publish waits until all objects are loaded, then publishes trees until the context ends.
func (a *agent) publish(ctx context.Context, loaders []loader) error {
	for _, l := range loaders {
		if err := l.load(ctx); err != nil {
			return unlessDone(ctx, fmt.Errorf("loading objects: %w", err))
		}
	}
	a.sandboxes.load()
	timer := time.AfterFunc(startTime, debug.FreeOSMemory)
	defer timer.Stop()
	return a.publisher.run(ctx)
}

func newManager(ctx context.Context, config *rest.Config, a *agent) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, coordinationv1.AddToScheme, networkingv1.AddToScheme, eventsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	caches := cacheOptions(a.Options)
	caches.DefaultWatchErrorHandler = a.watchFailed
	return manager.New(config, manager.Options{
		Scheme:         scheme,
		NewCache:       lifecycle.NewCache(ctx),
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return restMapper(), nil },
		Cache:          caches,
		Logger:         a.Log,
		// The agent itself serves metrics and health checks, so the servers of the manager are
		// disabled. While the pod of the node is replaced, two agents run on the node. The servers
		// of both managers would use the same ports.
		Metrics:                metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress: "0",
	})
}

// watchFailed is called after each end of a watch. It logs the reason only at the debug level,
// because package connection reports lasting failures.
func (a *agent) watchFailed(_ context.Context, _ *toolscache.Reflector, err error) {
	a.Log.WithName("caches").V(1).Info("Watch ended", "reason", err.Error())
}

// unlessDone returns nil if the context has ended, and err otherwise.
func unlessDone(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}
