package node

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// namespaceReconciler keeps the namespaces' labels in the world.
type namespaceReconciler struct{ reconciler }

// Reconcile brings the world to the state of one namespace.
func (r *namespaceReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	return reconcile.Result{}, r.world.apply(r.changes, request.NamespacedName, func(s *policy.Snapshot) error {
		var namespace corev1.Namespace
		err := r.reader.Get(ctx, request.NamespacedName, &namespace)
		switch {
		case apierrors.IsNotFound(err):
			s.DeleteNamespace(request.Name)
			return nil
		case err != nil:
			return fmt.Errorf("reading namespace %s: %w", request.Name, err)
		}
		s.UpsertNamespace(policy.NamespaceOf(&namespace))
		return nil
	})
}

// list applies every namespace of the cache.
func (r *namespaceReconciler) list(ctx context.Context, s *policy.Snapshot) error {
	var namespaces corev1.NamespaceList
	if err := r.reader.List(ctx, &namespaces); err != nil {
		return fmt.Errorf("listing namespaces: %w", err)
	}
	for i := range namespaces.Items {
		s.UpsertNamespace(policy.NamespaceOf(&namespaces.Items[i]))
	}
	return nil
}
