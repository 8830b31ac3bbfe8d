package labcluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// emptyRetry is the time after which the controller checks again whether a namespace is empty.
const emptyRetry = 20 * time.Millisecond

// namespaceEnd replaces the Kubernetes controller that finishes the deletion of namespaces. It
// deletes the objects in the namespace, waits until these objects no longer exist, and removes
// the finalizer of the namespace.
type namespaceEnd struct {
	client    client.Client
	objects   metadata.Interface
	resources []schema.GroupVersionResource
}

func newNamespaceEnd(c client.Client, config *rest.Config) (*namespaceEnd, error) {
	finder, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	lists, err := finder.ServerPreferredNamespacedResources()
	if err != nil {
		return nil, fmt.Errorf("listing the kinds of objects: %w", err)
	}
	out := &namespaceEnd{client: c}
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			if slices.Contains(resource.Verbs, "deletecollection") && slices.Contains(resource.Verbs, "list") {
				out.resources = append(out.resources, group.WithResource(resource.Name))
			}
		}
	}
	out.objects, err = metadata.NewForConfig(config)
	return out, err
}

// Reconcile does the next step of the deletion of a namespace.
func (e *namespaceEnd) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	var namespace corev1.Namespace
	if err := e.client.Get(ctx, r.NamespacedName, &namespace); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if namespace.DeletionTimestamp == nil {
		return reconcile.Result{}, nil
	}
	left := 0
	for _, resource := range e.resources {
		in := e.objects.Resource(resource).Namespace(namespace.Name)
		list, err := in.List(ctx, metav1.ListOptions{})
		if err != nil {
			return reconcile.Result{}, fmt.Errorf("listing %s: %w", resource.Resource, err)
		}
		if len(list.Items) == 0 {
			continue
		}
		left += len(list.Items)
		if err := in.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			return reconcile.Result{}, fmt.Errorf("deleting %s: %w", resource.Resource, err)
		}
	}
	if left > 0 {
		return reconcile.Result{RequeueAfter: emptyRetry}, nil
	}
	namespace.Spec.Finalizers = nil
	err := e.client.SubResource("finalize").Update(ctx, &namespace)
	return reconcile.Result{}, client.IgnoreNotFound(err)
}
