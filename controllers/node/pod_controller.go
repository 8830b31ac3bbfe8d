package node

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/controllers/announced"
	"github.com/sluicenet/sluice/controllers/node/connection"
	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch

// pods returns the resource that applies Pods to the state.
func pods() resource[*readPod] {
	return resource[*readPod]{
		kind:   connection.Pod,
		object: &corev1.Pod{},
		upsert: func(s *policy.Snapshot, in *readPod) error {
			s.UpsertPod(in.pod)
			return in.fault
		},
		remove: func(s *policy.Snapshot, key types.NamespacedName) { s.DeletePod(key.Namespace, key.Name) },
	}
}

// readPod is the type of the Pods in the cache. It contains a policy.Pod, and the metadata that
// caches and queues need. The agent caches every pod of the cluster, and a corev1.Pod with only
// these fields would take four times as much memory.
type readPod struct {
	metav1.ObjectMeta
	// pod is shared with the snapshot. The mutex of the state guards it.
	pod *policy.Pod
	// fault describes the parts of the Pod that could not be read and are ignored.
	fault error
}

// podRead converts a Pod to a readPod.
func podRead(in *corev1.Pod) *readPod {
	pod, errors := policy.ReadPod(in)
	if len(pod.Addresses) == 0 {
		pod.Addresses = announced.Addresses(in.Annotations)
		pod.Announced = len(pod.Addresses) > 0
	}
	return &readPod{
		ObjectMeta: metav1.ObjectMeta{Namespace: in.Namespace, Name: in.Name, UID: in.UID, ResourceVersion: in.ResourceVersion},
		pod:        pod,
		fault:      errors.Err(),
	}
}

// GetObjectKind returns an empty kind. This is enough because a readPod is never sent to
// the API server.
func (p *readPod) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject returns a copy of the readPod. The copy and the original share the parts that
// never change.
func (p *readPod) DeepCopyObject() runtime.Object {
	out := *p
	return &out
}
