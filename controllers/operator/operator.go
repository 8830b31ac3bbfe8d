package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/access"
	"github.com/sluicenet/sluice/controllers/enforcer"
	"github.com/sluicenet/sluice/controllers/enforcer/installation"
	"github.com/sluicenet/sluice/controllers/leader"
	"github.com/sluicenet/sluice/controllers/lifecycle"
	"github.com/sluicenet/sluice/controllers/liveness"
	"github.com/sluicenet/sluice/controllers/observe"
	"github.com/sluicenet/sluice/controllers/policystatus"
	"github.com/sluicenet/sluice/controllers/upgradeable"
)

// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=events,verbs=create;patch

// Options configures an operator.
type Options struct {
	// Namespace is the namespace of the operator and of the objects that it creates.
	Namespace string
	// Image is the image of the agent and the dataplane if the Enforcer specifies no image.
	Image string
	// FaultDelay is the time that a state must last before it changes the condition Available or
	// Degraded of the Enforcer. 0 means 30 s.
	FaultDelay time.Duration
	// SilenceTimeout is the time after which an agent counts as silent if it has not renewed its
	// Lease. 0 means v1alpha1.HeartbeatTimeout.
	SilenceTimeout time.Duration
	// Registry registers the metrics of the Enforcer. nil means the registry that MetricsAddress
	// serves.
	Registry prometheus.Registerer
	// LeaderElection enables leader election, so that only one of several operators is
	// active at a time.
	LeaderElection bool
	// Pod is the name of the operator's own pod. It is empty if the operator runs outside the
	// cluster. Leader election uses it, see package leader.
	Pod string
	// Condition is the name of the OperatorCondition. It is empty if OLM did not install the
	// operator.
	Condition string
	// MetricsAddress is the listen address of /metrics, for example ":9642". HealthAddress is
	// the listen address of /healthz and /readyz. The value "0" disables a server.
	MetricsAddress, HealthAddress string
	// If MetricsPlain is true, the operator serves metrics without TLS and authentication.
	MetricsPlain bool
	// ObserveAddress is the listen address of package observe, for example ":9643". The value
	// "0" disables it.
	ObserveAddress string
	Log            logr.Logger
}

// lease is the name of the Lease object for leader election.
const lease = "sluice-operator"

// Run runs the controllers until the context ends, or until another operator
// becomes the leader.
func Run(ctx context.Context, config *rest.Config, o Options) error {
	if o.Namespace == "" || o.Image == "" {
		return errors.New("preparing the operator: a namespace and an image are needed")
	}
	return lifecycle.Run(ctx, o.Log, func(ctx context.Context) error { return run(ctx, config, o) })
}

func run(ctx context.Context, config *rest.Config, o Options) error {
	mgr, err := newManager(ctx, config, o)
	if err != nil {
		return fmt.Errorf("preparing the operator: %w", err)
	}
	active := installation.Active(mgr.GetCache(), o.Namespace)
	if err := policystatus.SetupWithManager(mgr, active, o.Log.WithName("policystatus")); err != nil {
		return err
	}
	err = enforcer.SetupWithManager(mgr, enforcer.Options{
		Namespace: o.Namespace, Image: o.Image, FaultDelay: o.FaultDelay, Registry: o.Registry, Log: o.Log.WithName("enforcer"),
	})
	if err != nil {
		return err
	}
	err = liveness.SetupWithManager(mgr, liveness.Options{
		Namespace: o.Namespace, Timeout: o.SilenceTimeout, Active: active, Log: o.Log.WithName("liveness"),
	})
	if err != nil {
		return err
	}
	if o.Condition != "" {
		err = upgradeable.SetupWithManager(mgr, upgradeable.Options{
			Namespace: o.Namespace, Name: o.Condition, Active: active, Log: o.Log.WithName("upgradeable"),
		})
		if err != nil {
			return err
		}
	}
	if err := addObserver(mgr, config, o); err != nil {
		return fmt.Errorf("preparing the API for observers: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("preparing health: %w", err)
	}
	if err := mgr.AddReadyzCheck("caches", cachesReady(mgr)); err != nil {
		return fmt.Errorf("preparing readiness: %w", err)
	}
	o.Log.Info("Starting", "namespace", o.Namespace, "image", o.Image, "apiServer", config.Host)
	return mgr.Start(ctx)
}

// observeService is the name of the Service of package observe.
const observeService = "sluice-observe"

// addObserver adds the server of package observe to a manager.
func addObserver(mgr manager.Manager, config *rest.Config, o Options) error {
	if o.ObserveAddress == "" || o.ObserveAddress == "0" {
		return nil
	}
	server, err := observe.New(config, observe.Options{
		Address: o.ObserveAddress, Namespace: o.Namespace, Service: observeService, Log: o.Log.WithName("observe"),
	})
	if err != nil {
		return err
	}
	return mgr.Add(server)
}

// readyTimeout limits how long a readiness check waits for caches to sync.
const readyTimeout = time.Second

// cachesReady returns a readiness check that succeeds once the caches have synced. An operator
// that is not the leader watches no objects, so its check succeeds immediately.
func cachesReady(mgr manager.Manager) healthz.Checker {
	return func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches have not synced with the API server yet")
		}
		return nil
	}
}

func newManager(ctx context.Context, config *rest.Config, o Options) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, coordinationv1.AddToScheme, networkingv1.AddToScheme, eventsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	reviewer, err := access.NewReviewer(config)
	if err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	// The client does not limit its requests, because API priority and fairness limits them
	// on the server.
	config.QPS = -1
	lock, err := leaderLock(config, o)
	if err != nil {
		return nil, err
	}
	return manager.New(config, manager.Options{
		Scheme:                              scheme,
		NewCache:                            lifecycle.NewCache(ctx),
		Cache:                               cacheOptions(o.Namespace),
		Logger:                              o.Log,
		Metrics:                             metricsOptions(reviewer, o),
		HealthProbeBindAddress:              o.HealthAddress,
		LeaderElection:                      o.LeaderElection,
		LeaderElectionID:                    lease,
		LeaderElectionNamespace:             o.Namespace,
		LeaderElectionResourceLockInterface: lock,
		LeaderElectionReleaseOnCancel:       true,
	})
}

// leaderLock returns the lock for leader election. If the operator does not run in a pod, it returns
// nil, so that controller-runtime creates a lock.
func leaderLock(config *rest.Config, o Options) (resourcelock.Interface, error) {
	if !o.LeaderElection || o.Pod == "" {
		return nil, nil
	}
	return leader.New(config, o.Namespace, lease, o.Pod)
}

// metricsOptions returns the options of the metrics server. By default, the server uses HTTPS
// with a self-signed certificate, and requires the right to read metrics. If MetricsPlain is
// set, it uses HTTP without authentication.
func metricsOptions(reviewer *access.Reviewer, o Options) metricsserver.Options {
	out := metricsserver.Options{BindAddress: o.MetricsAddress, SecureServing: !o.MetricsPlain}
	if !o.MetricsPlain {
		out.FilterProvider = func(*rest.Config, *http.Client) (metricsserver.Filter, error) { return reviewer.MetricsFilter, nil }
	}
	return out
}

// cacheOptions returns the options of the caches that the controllers share.
func cacheOptions(namespace string) cache.Options {
	byObject := enforcer.CachedObjects(namespace)
	maps.Copy(byObject, liveness.CachedObjects(namespace))
	for object, options := range policystatus.CachedObjects() {
		switch object.(type) {
		case *corev1.Pod:
			options.Transform = enforcer.KeepOwnPods(namespace, options.Transform)
		case *v1alpha1.NodeEnforcer:
			// The options of package enforcer already contain an equal entry for NodeEnforcers.
			continue
		}
		byObject[object] = options
	}
	return cache.Options{ByObject: byObject, DefaultTransform: cache.TransformStripManagedFields()}
}
