package node

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/controllers/node/connection"
	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch

// otherNodes returns the resource that applies the addresses and labels of all other Nodes to the
// state. It ignores their pod ranges, because the agent must not trust the addresses that pods of
// other nodes announce.
func otherNodes() resource[*corev1.Node] {
	out := nodes()
	out.kind = connection.OtherNode
	out.upsert = func(s *policy.Snapshot, in *corev1.Node) error {
		node, errors := policy.ReadNode(in)
		node.PodRanges = nil
		s.UpsertNode(node)
		return errors.Err()
	}
	return out
}

// nodes returns the resource that applies the addresses of the agent's own Node to the state.
func nodes() resource[*corev1.Node] {
	return resource[*corev1.Node]{
		kind:   connection.Node,
		object: &corev1.Node{},
		upsert: func(s *policy.Snapshot, in *corev1.Node) error {
			node, errors := policy.ReadNode(in)
			s.UpsertNode(node)
			return errors.Err()
		},
		remove: func(s *policy.Snapshot, key types.NamespacedName) { s.DeleteNode(key.Name) },
	}
}
