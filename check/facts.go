package check

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/live"
)

// Result is a value that was read from the API server, or the reason why it could not be read.
type Result[T any] struct {
	Value T
	Err   error
}

// Facts contains what Read has read from a cluster.
type Facts struct {
	// Release is the version of this program. Namespace is the namespace of the operator.
	Release, Namespace string
	// Version is the version of the API server, such as "v1.37.0".
	Version string
	// Groups contains the names of all API groups. Admission contains the resources of the group
	// admissionregistration.k8s.io/v1.
	Groups, Admission Result[[]string]
	// Forwarding is the ConfigMap kube-system/extension-apiserver-authentication, in which the API
	// server publishes how it forwards requests. It is nil if the ConfigMap does not exist.
	Forwarding Result[*corev1.ConfigMap]
	Nodes      Result[[]corev1.Node]
	DaemonSets Result[[]appsv1.DaemonSet]
	// Proxy and Cilium are the ConfigMaps of kube-proxy and Cilium in kube-system. They are nil if
	// they do not exist.
	Proxy, Cilium Result[*corev1.ConfigMap]
	// System is the Namespace object of the operator's namespace. It is nil if it does not exist.
	System Result[*corev1.Namespace]
	Quotas Result[[]corev1.ResourceQuota]
	// Missing contains the rights that an installation needs and that the caller lacks.
	Missing Result[[]string]
	// Installed is nil if the cluster contains neither an operator nor the CRDs of Sluice.
	Installed *Installed
}

// Installed contains what Read has read about an installation of Sluice.
type Installed struct {
	// Definitions contains the CRDs of Sluice that exist, by name.
	Definitions Result[map[string]*unstructured.Unstructured]
	// Operator is nil if there is no Deployment of the operator in the namespace.
	Operator Result[*appsv1.Deployment]
	Pods     Result[[]corev1.Pod]
	Events   Result[[]corev1.Event]
	Reports  Result[*live.Reports]
	// Read sends one request that the API server should forward to the operator. Forwarded is the
	// error of this request. It is nil if the operator recognized the user of the request.
	Forwarded error
	// Missing contains the rights that the service accounts of Sluice lack.
	Missing Result[[]string]
}

// Read reads the facts of a cluster. It returns an error only if the API server cannot be reached.
func Read(ctx context.Context, c *live.Connection, release, namespace string) (*Facts, error) {
	info, err := c.Version(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the version of the API server: %w", err)
	}
	f := &Facts{Release: release, Namespace: namespace, Version: info.GitVersion}
	f.Groups.Value, f.Groups.Err = c.Groups(ctx)
	f.Admission.Value, f.Admission.Err = c.Resources(ctx, "admissionregistration.k8s.io/v1")
	f.Forwarding = get(ctx, c, "kube-system", "extension-apiserver-authentication", &corev1.ConfigMap{})
	f.Nodes = list(ctx, c, &corev1.NodeList{}, func(l *corev1.NodeList) []corev1.Node { return l.Items })
	f.DaemonSets = list(ctx, c, &appsv1.DaemonSetList{}, func(l *appsv1.DaemonSetList) []appsv1.DaemonSet { return l.Items })
	f.Proxy = get(ctx, c, "kube-system", "kube-proxy", &corev1.ConfigMap{})
	f.Cilium = get(ctx, c, "kube-system", "cilium-config", &corev1.ConfigMap{})
	f.System = get(ctx, c, "", namespace, &corev1.Namespace{})
	f.Quotas = list(ctx, c, &corev1.ResourceQuotaList{}, func(l *corev1.ResourceQuotaList) []corev1.ResourceQuota { return l.Items }, client.InNamespace(namespace))
	f.Missing.Value, f.Missing.Err = missingForInstall(ctx, c, namespace)
	operator := get(ctx, c, namespace, "sluice-operator", &appsv1.Deployment{})
	if operator.Value == nil && !contains(f.Groups.Value, v1alpha1.GroupVersion.Group) {
		return f, nil
	}
	f.Installed = &Installed{Operator: operator}
	f.Installed.read(ctx, c, namespace)
	return f, nil
}

// ours selects the pods of Sluice.
var ours = client.MatchingLabels{"app.kubernetes.io/name": "sluice"}

func (i *Installed) read(ctx context.Context, c *live.Connection, namespace string) {
	i.Definitions.Value = map[string]*unstructured.Unstructured{}
	for name := range definitions {
		crd := &unstructured.Unstructured{}
		crd.SetAPIVersion("apiextensions.k8s.io/v1")
		crd.SetKind("CustomResourceDefinition")
		found := get(ctx, c, "", name, crd)
		if found.Err != nil {
			i.Definitions.Err = found.Err
		}
		if found.Value != nil {
			i.Definitions.Value[name] = found.Value
		}
	}
	i.Pods = list(ctx, c, &corev1.PodList{}, func(l *corev1.PodList) []corev1.Pod { return l.Items }, client.InNamespace(namespace), ours)
	i.Events = list(ctx, c, &corev1.EventList{}, func(l *corev1.EventList) []corev1.Event { return l.Items }, client.InNamespace(namespace))
	i.Reports.Value, i.Reports.Err = c.Reports(ctx)
	i.Forwarded = c.Forwards(ctx)
	i.Missing.Value, i.Missing.Err = missingForAccounts(ctx, c, namespace)
}

// list reads all objects of a kind. The `items` parameter is a function that returns the objects of
// one page.
func list[L client.ObjectList, T any](ctx context.Context, c *live.Connection, page L, items func(L) []T, options ...client.ListOption) (r Result[[]T]) {
	r.Err = c.Each(ctx, page, func() { r.Value = append(r.Value, items(page)...) }, options...)
	return r
}

// get reads one object. If the object does not exist, the value is nil.
func get[T client.Object](ctx context.Context, c *live.Connection, namespace, name string, object T) (r Result[T]) {
	err := c.Get(ctx, namespace, name, object)
	switch {
	case err == nil:
		r.Value = object
	case !apierrors.IsNotFound(err):
		r.Err = err
	}
	return r
}
