// Package live asks a running cluster, as kubectl would: by a kubeconfig file,
// with the rights of whoever calls. It reads what policies are about and what
// Sluice reports, and runs commands in Sluice's pods. It writes nothing.
package live

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// pageSize is how many objects one answer of the API server holds, as kubectl
// has it.
const pageSize = 500

// Requests to the API server wait for each other beyond these rates. Lists take
// a request for each 500 objects.
const (
	requestsPerSecond = 50
	requestsAtOnce    = 100
)

// ErrNoCluster is the error where nothing says how to reach a cluster.
var ErrNoCluster = errors.New("neither a kubeconfig file nor a service account says how to reach a cluster")

// Options say which cluster, as kubectl's flags of these names do.
type Options struct {
	// Kubeconfig is the path of a kubeconfig file. Default: those that KUBECONFIG
	// names, else ~/.kube/config, else the pod's service account.
	Kubeconfig string
	// Context is a context of that file. Default: its current one.
	Context string
}

// Connection is a way to the API server of a cluster.
type Connection struct {
	// Name is the name of the context, or "cluster" where there is none.
	Name string
	// Namespace is the current namespace of the context.
	Namespace string

	config *rest.Config
	client client.Client
}

// Connect reads the kubeconfig. It asks the API server nothing yet. The error is
// ErrNoCluster where there is none and none was asked for.
func Connect(o Options) (*Connection, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	kubeconfig := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context})
	config, err := kubeconfig.ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err) && o == Options{}:
		return nil, ErrNoCluster
	case err != nil:
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	c := &Connection{Name: "cluster", Namespace: corev1.NamespaceDefault, config: config}
	if namespace, _, err := kubeconfig.Namespace(); err == nil && namespace != "" {
		c.Namespace = namespace
	}
	if raw, err := kubeconfig.RawConfig(); err == nil && raw.CurrentContext != "" {
		c.Name = raw.CurrentContext
	}
	if o.Context != "" {
		c.Name = o.Context
	}
	config.QPS, config.Burst = requestsPerSecond, requestsAtOnce
	kinds, err := newScheme()
	if err != nil {
		return nil, err
	}
	c.client, err = client.New(config, client.Options{Scheme: kinds, Mapper: newMapper()})
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	return c, nil
}

func newScheme() (*runtime.Scheme, error) {
	kinds := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, networkingv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(kinds); err != nil {
			return nil, fmt.Errorf("naming the kinds: %w", err)
		}
	}
	return kinds, nil
}

// newMapper knows the few kinds that are asked for. Without it a client would
// first ask the API server for all that it serves.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	add := func(group schema.GroupVersion, scope meta.RESTScope, kinds ...string) {
		for _, kind := range kinds {
			mapper.Add(group.WithKind(kind), scope)
		}
	}
	add(corev1.SchemeGroupVersion, meta.RESTScopeNamespace, "Pod")
	add(corev1.SchemeGroupVersion, meta.RESTScopeRoot, "Namespace", "Node")
	add(networkingv1.SchemeGroupVersion, meta.RESTScopeNamespace, "NetworkPolicy")
	add(v1alpha1.GroupVersion, meta.RESTScopeNamespace, "PolicyStatus")
	add(v1alpha1.GroupVersion, meta.RESTScopeRoot, "Enforcer", "NodeEnforcer")
	return mapper
}

// list reads all objects of a kind, page by page, all as of one moment. The
// error is errExpired where the API server does not know that moment any more.
func (c *Connection) list(ctx context.Context, into client.ObjectList, add func(), options ...client.ListOption) error {
	page := &client.ListOptions{}
	page.ApplyOptions(options)
	page.Limit = pageSize
	for started := false; ; started = true {
		err := c.client.List(ctx, into, page)
		if started && apierrors.IsResourceExpired(err) {
			return errExpired
		}
		if err != nil {
			return err
		}
		add()
		if page.Continue = into.GetContinue(); page.Continue == "" {
			return nil
		}
	}
}

// errExpired says that the cluster changed too much while it was read.
var errExpired = errors.New("the list changed too much while it was read; ask again")
