package node

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/controllers/node/connection"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
)

// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch

// networkPolicies returns the resource that applies NetworkPolicies to the state.
func networkPolicies() resource[*networkingv1.NetworkPolicy] {
	return resource[*networkingv1.NetworkPolicy]{
		kind:   connection.Policy,
		object: &networkingv1.NetworkPolicy{},
		upsert: func(s *policy.Snapshot, in *networkingv1.NetworkPolicy) error {
			np, _ := read.NetworkPolicy(in)
			s.UpsertPolicy(np)
			return nil
		},
		remove: func(s *policy.Snapshot, key types.NamespacedName) { s.DeletePolicy(key.Namespace, key.Name) },
	}
}
