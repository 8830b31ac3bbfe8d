package node

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/lifecycle"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

// Options say for which node an agent works, and where.
type Options struct {
	// Node is the name of the node's Node object.
	Node string
	// StateDir is the directory that agent and dataplane share.
	StateDir string
	// MetricsAddress and HealthAddress are where metrics, and /healthz and
	// /readyz, are served, such as ":8080"; "0" is nowhere. The default is
	// ":8080" and nowhere.
	MetricsAddress, HealthAddress string
	Log                           logr.Logger
	// Registry takes the agent's metrics. MetricsAddress serves those of
	// controller-runtime's registry.
	Registry prometheus.Registerer
}

// startTime is after which the memory that only the start took is given back: by
// then the first tree is out.
const startTime = 5 * time.Second

// Run keeps the node's tree up to date until the context ends. While the API
// server is away, also at startup, it waits.
func Run(ctx context.Context, config *rest.Config, o Options) error {
	lock, err := statedir.LockAgent(o.StateDir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	return lifecycle.Run(ctx, o.Log, func(ctx context.Context) error { return run(ctx, config, o) })
}

func run(ctx context.Context, config *rest.Config, o Options) error {
	m, err := newMetrics(o.Registry)
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	w := newWorld(o.Node)
	p, err := newPublisher(w, o.StateDir, m, o.Log.WithName("publisher"))
	if err != nil {
		return err
	}
	d := newDataplane(o.StateDir, m, o.Log.WithName("dataplane"))
	p.published = d.published
	c := newConnection(o.Log.WithName("connection"), m)
	config = rest.CopyConfig(config)
	config.Wrap(c.wrap)
	mgr, err := newManager(ctx, config, o)
	if err != nil {
		return fmt.Errorf("preparing controllers: %w", err)
	}
	loaders, err := addControllers(ctx, mgr, w, m, o)
	if err != nil {
		return fmt.Errorf("preparing controllers: %w", err)
	}
	publish := func(ctx context.Context) error {
		for _, l := range loaders {
			if err := l.load(ctx); err != nil {
				return unlessDone(ctx, fmt.Errorf("loading objects: %w", err))
			}
		}
		rest := time.AfterFunc(startTime, debug.FreeOSMemory)
		defer rest.Stop()
		return p.run(ctx)
	}
	source := &statusSource{stateDir: o.StateDir, publisher: p, dataplane: d, connection: c}
	status := &statusWriter{
		node: o.Node, cache: mgr.GetCache(), direct: mgr.GetAPIReader(), client: mgr.GetClient(),
		source: source.status, log: o.Log.WithName("status"),
	}
	for _, run := range []manager.RunnableFunc{publish, d.run, status.run} {
		if err := mgr.Add(run); err != nil {
			return fmt.Errorf("preparing controllers: %w", err)
		}
	}
	for name, check := range map[string]healthz.Checker{"published": p.check, "api-server": c.check} {
		if err := mgr.AddReadyzCheck(name, check); err != nil {
			return fmt.Errorf("preparing readiness: %w", err)
		}
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("preparing health: %w", err)
	}
	o.Log.Info("Starting", "node", o.Node, "stateDir", o.StateDir, "apiServer", config.Host)
	return mgr.Start(ctx)
}

func newManager(ctx context.Context, config *rest.Config, o Options) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, networkingv1.AddToScheme, eventsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	caches := cacheOptions()
	log := o.Log.WithName("caches")
	caches.DefaultWatchErrorHandler = func(_ context.Context, _ *toolscache.Reflector, err error) {
		log.V(1).Info("Watch ended", "reason", err.Error())
	}
	return manager.New(config, manager.Options{
		Scheme:                 scheme,
		NewCache:               lifecycle.NewCache(ctx),
		MapperProvider:         func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return restMapper(), nil },
		Cache:                  caches,
		Logger:                 o.Log,
		Metrics:                metricsserver.Options{BindAddress: o.MetricsAddress},
		HealthProbeBindAddress: o.HealthAddress,
	})
}

// addControllers lets the manager run the reconcilers of all kinds.
func addControllers(ctx context.Context, mgr manager.Manager, w *world, m *metrics, o Options) ([]loader, error) {
	h := house{manager: mgr, world: w, metrics: m, log: o.Log}
	var out []loader
	for _, subject := range []interface {
		add(context.Context, house) (loader, error)
	}{networkPolicies(), pods(), namespaces(), nodes()} {
		r, err := subject.add(ctx, h)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, newProblemReporter(mgr.GetClient(), o.Node, o.Log.WithName("problems")).addTo(mgr)
}

// unlessDone gives an error, or nil when the context has ended, which is why.
func unlessDone(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}
