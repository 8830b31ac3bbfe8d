package node

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch

// networkPolicies keep the policies of the world and tell their authors what is
// wrong with them. A report that does not arrive is tried again; the policy is
// in force meanwhile.
func networkPolicies(problems *problemReporter) subject[*networkingv1.NetworkPolicy] {
	return subject[*networkingv1.NetworkPolicy]{
		kind:   kindPolicy,
		object: &networkingv1.NetworkPolicy{},
		upsert: func(s *policy.Snapshot, in *networkingv1.NetworkPolicy) error {
			s.UpsertPolicy(in)
			return nil
		},
		remove: func(s *policy.Snapshot, key types.NamespacedName) { s.DeletePolicy(key.Namespace, key.Name) },
		after: func(ctx context.Context, key types.NamespacedName, np *networkingv1.NetworkPolicy) error {
			if np == nil {
				problems.forget(key)
				return nil
			}
			return problems.report(ctx, np)
		},
	}
}
