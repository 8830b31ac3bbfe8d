package node

import (
	"context"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch

// networkPolicyReconciler keeps the policies of the world and tells their
// authors what is wrong with them.
type networkPolicyReconciler struct {
	reconciler
	problems *problemReporter
}

// Reconcile brings the world to the state of one policy, then reports its
// problems. A report that does not arrive is tried again; the policy is in
// force meanwhile.
func (r *networkPolicyReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var found *networkingv1.NetworkPolicy
	err := r.world.apply(r.changes, request.NamespacedName, func(s *policy.Snapshot) error {
		var np networkingv1.NetworkPolicy
		err := r.reader.Get(ctx, request.NamespacedName, &np)
		switch {
		case apierrors.IsNotFound(err):
			s.DeletePolicy(request.Namespace, request.Name)
			return nil
		case err != nil:
			return fmt.Errorf("reading policy %s: %w", request, err)
		}
		s.UpsertPolicy(&np)
		found = &np
		return nil
	})
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case found == nil:
		r.problems.forget(request.NamespacedName)
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, r.problems.report(ctx, found)
}

// list applies every policy of the cache.
func (r *networkPolicyReconciler) list(ctx context.Context, s *policy.Snapshot) error {
	var policies networkingv1.NetworkPolicyList
	if err := r.reader.List(ctx, &policies); err != nil {
		return fmt.Errorf("listing policies: %w", err)
	}
	for i := range policies.Items {
		// A copy, so that the snapshot does not hold the whole list.
		np := policies.Items[i]
		s.UpsertPolicy(&np)
	}
	return nil
}
