package node

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/controllers/node/connection"
	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// namespaces returns the resource that applies the labels of Namespaces to the state.
func namespaces() resource[*corev1.Namespace] {
	return resource[*corev1.Namespace]{
		kind:   connection.Namespace,
		object: &corev1.Namespace{},
		upsert: func(s *policy.Snapshot, in *corev1.Namespace) error {
			s.UpsertNamespace(policy.ReadNamespace(in))
			return nil
		},
		remove: func(s *policy.Snapshot, key types.NamespacedName) { s.DeleteNamespace(key.Name) },
	}
}
