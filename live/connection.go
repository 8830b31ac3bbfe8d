// Package live reads objects from a running cluster. Like kubectl, it uses a kubeconfig file
// and the rights of the user in this file. It reads the objects that affect policies and the
// status objects of Sluice, and it watches the flow events of nodes. It never creates, changes
// or deletes an object.
package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/policy/read"
)

// pageSize is the maximum number of objects in a response to one list request. kubectl uses
// the same number.
const pageSize = 500

// These constants limit the rate of requests to the API server. To read a list, the client
// needs one request for every 500 objects.
const (
	requestsPerSecond = 50
	requestsAtOnce    = 100
)

// ErrNoCluster is returned if the user has neither a kubeconfig file nor a service
// account.
var ErrNoCluster = errors.New("there is neither a kubeconfig file nor a service account to reach a cluster with")

// Options selects a cluster. The fields correspond to the flags of kubectl.
type Options struct {
	// Kubeconfig is the path of a kubeconfig file. If it is empty, Connect uses the files in
	// the environment variable KUBECONFIG, or ~/.kube/config if the variable is not set. If
	// no file contains a configuration, Connect uses the pod's service account.
	Kubeconfig string
	// Overrides contains values that replace those of the kubeconfig file, such as the context, the
	// address of the API server or the user to impersonate.
	Overrides clientcmd.ConfigOverrides
}

// Connection is a client for the API server of one cluster.
type Connection struct {
	// Name is the address of the API server if the options contain it, otherwise the name of the
	// kubeconfig context, or "cluster" if no context is used.
	Name string
	// Namespace is the default namespace of the context.
	Namespace string

	config *rest.Config
	client client.Client
}

// Connect reads the kubeconfig file. It does not send any request to the API server. If the
// options name neither a file nor a context nor a server, and no configuration is found, Connect
// returns ErrNoCluster.
func Connect(o Options) (*Connection, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	kubeconfig := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &o.Overrides)
	config, err := kubeconfig.ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err) && o.Kubeconfig == "" && o.Overrides.CurrentContext == "":
		return nil, ErrNoCluster
	case err != nil:
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	c := &Connection{Name: "cluster", Namespace: corev1.NamespaceDefault, config: config}
	if namespace, _, err := kubeconfig.Namespace(); err == nil && namespace != "" {
		c.Namespace = namespace
	}
	if raw, err := kubeconfig.RawConfig(); err == nil {
		c.Name = cmp.Or(o.Overrides.ClusterInfo.Server, o.Overrides.CurrentContext, raw.CurrentContext, c.Name)
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
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, networkingv1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, discoveryv1.AddToScheme,
		authorizationv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(kinds); err != nil {
			return nil, fmt.Errorf("registering the kinds: %w", err)
		}
	}
	return kinds, nil
}

// definitions is the API group of CustomResourceDefinitions.
var definitions = schema.GroupVersion{Group: "apiextensions.k8s.io", Version: "v1"}

// newMapper returns a REST mapper for the kinds that this package reads. Without this mapper,
// the client would first request the list of all resources from the API server.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	add := func(group schema.GroupVersion, scope meta.RESTScope, kinds ...string) {
		for _, kind := range kinds {
			mapper.Add(group.WithKind(kind), scope)
		}
	}
	add(corev1.SchemeGroupVersion, meta.RESTScopeNamespace, "Pod", "ConfigMap", "ResourceQuota", "Event", "Service", "ReplicationController")
	add(appsv1.SchemeGroupVersion, meta.RESTScopeNamespace, "DaemonSet", "Deployment", "StatefulSet", "ReplicaSet")
	add(batchv1.SchemeGroupVersion, meta.RESTScopeNamespace, "Job", "CronJob")
	add(discoveryv1.SchemeGroupVersion, meta.RESTScopeNamespace, "EndpointSlice")
	add(authorizationv1.SchemeGroupVersion, meta.RESTScopeRoot, "SelfSubjectAccessReview", "SubjectAccessReview")
	add(definitions, meta.RESTScopeRoot, "CustomResourceDefinition")
	add(corev1.SchemeGroupVersion, meta.RESTScopeRoot, "Namespace", "Node")
	add(networkingv1.SchemeGroupVersion, meta.RESTScopeNamespace, "NetworkPolicy")
	for _, kind := range tierKinds {
		for _, version := range kind.versions {
			add(schema.GroupVersion{Group: read.Group, Version: version}, meta.RESTScopeRoot, kind.kind)
		}
	}
	add(v1alpha1.GroupVersion, meta.RESTScopeNamespace, "PolicyStatus")
	add(v1alpha1.GroupVersion, meta.RESTScopeRoot, "Enforcer", "NodeEnforcer", "ClusterPolicyStatus")
	return mapper
}

// list reads all objects of a kind in pages. It stores one page at a time in the parameter
// `into`, and calls `add` after each page. All pages show the state at the same resource
// version. If the API server discards this version before list has read all pages, list returns
// errExpired.
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

// errExpired is returned if the API server discarded the resource version of a list before
// all pages of the list were read.
var errExpired = errors.New("the list changed too much while it was read; try again")
