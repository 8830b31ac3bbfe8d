package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/lifecycle"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=sluice-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=sluice-system,resources=leases,resourceNames=sluice-operator,verbs=get;update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=events,verbs=create;patch

// Options say how an operator works.
type Options struct {
	// Namespace is where the operator and what it makes are.
	Namespace string
	// Image is the image of nodes whose Enforcer names none.
	Image string
	// LeaderElection lets only one of several operators work at a time.
	LeaderElection bool
	// MetricsAddress and HealthAddress are where metrics, and /healthz and
	// /readyz, are served, such as ":8080"; "0" is nowhere.
	MetricsAddress, HealthAddress string
	Log                           logr.Logger
}

// lease is what operators of a cluster compete for.
const lease = "sluice-operator"

// Run works until the context ends, or until another operator leads.
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
	if err := addPolicyStatus(mgr, o.Log.WithName("policystatus")); err != nil {
		return err
	}
	if err := addEnforcer(mgr, o); err != nil {
		return err
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

// readyTime is how long readiness waits for caches.
const readyTime = time.Second

// cachesReady is the readiness of an operator: it has read what it follows. One
// that waits to lead follows nothing yet and is ready to.
func cachesReady(mgr manager.Manager) healthz.Checker {
	return func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), readyTime)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("not everything was read from the API server yet")
		}
		return nil
	}
}

func newManager(ctx context.Context, config *rest.Config, o Options) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, networkingv1.AddToScheme, eventsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	config = rest.CopyConfig(config)
	// The API server shares itself out fairly.
	config.QPS = -1
	return manager.New(config, manager.Options{
		Scheme:                        scheme,
		NewCache:                      lifecycle.NewCache(ctx),
		Cache:                         cacheOptions(o.Namespace),
		Logger:                        o.Log,
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsAddress},
		HealthProbeBindAddress:        o.HealthAddress,
		LeaderElection:                o.LeaderElection,
		LeaderElectionID:              lease,
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true,
	})
}
