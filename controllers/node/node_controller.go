package node

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch

// nodeReconciler keeps the nodes' addresses in the world.
type nodeReconciler struct{ reconciler }

// Reconcile brings the world to the state of one node.
func (r *nodeReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	return reconcile.Result{}, r.world.apply(r.changes, request.NamespacedName, func(s *policy.Snapshot) error {
		var node corev1.Node
		err := r.reader.Get(ctx, request.NamespacedName, &node)
		switch {
		case apierrors.IsNotFound(err):
			s.DeleteNode(request.Name)
			r.faults.none(request.NamespacedName)
			return nil
		case err != nil:
			return fmt.Errorf("reading node %s: %w", request.Name, err)
		}
		r.upsert(s, &node)
		return nil
	})
}

// list applies every node of the cache.
func (r *nodeReconciler) list(ctx context.Context, s *policy.Snapshot) error {
	var nodes corev1.NodeList
	if err := r.reader.List(ctx, &nodes); err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	for i := range nodes.Items {
		r.upsert(s, &nodes.Items[i])
	}
	return nil
}

// upsert sets a node's state. Addresses that cannot be read are reported and
// left out.
func (r *nodeReconciler) upsert(s *policy.Snapshot, in *corev1.Node) {
	node, err := policy.NodeOf(in)
	if err != nil {
		r.faults.note(in, err)
		node = policy.Node{Name: in.Name}
		for _, address := range in.Status.Addresses {
			part := corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{address}}}
			if one, err := policy.NodeOf(&part); err == nil {
				node.Addresses = append(node.Addresses, one.Addresses...)
			}
		}
	} else {
		r.faults.none(keyOf(in))
	}
	s.UpsertNode(node)
}
