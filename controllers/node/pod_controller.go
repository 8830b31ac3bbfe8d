package node

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch

// pods applies Pods to the state.
func pods() resource[*readPod] {
	return resource[*readPod]{
		kind:   kindPod,
		object: &corev1.Pod{},
		upsert: func(s *policy.Snapshot, in *readPod) error {
			s.UpsertPod(in.pod)
			return in.fault
		},
		remove: func(s *policy.Snapshot, key types.NamespacedName) { s.DeletePod(key.Namespace, key.Name) },
	}
}

// readPod is a Pod in the cache: the pod of package policy, and the metadata that
// caches and queues need. An agent has every pod of the cluster in memory, and a
// corev1.Pod with only these fields would take four times as much.
type readPod struct {
	metav1.ObjectMeta
	// pod is part of the snapshot. The mutex of the state guards it.
	pod *policy.Pod
	// fault has the parts of the Pod that could not be read and are ignored.
	fault error
}

// podRead returns the readPod of a Pod.
func podRead(in *corev1.Pod) *readPod {
	pod, errors := policy.ReadPod(in)
	return &readPod{
		ObjectMeta: metav1.ObjectMeta{Namespace: in.Namespace, Name: in.Name, UID: in.UID, ResourceVersion: in.ResourceVersion},
		pod:        pod,
		fault:      errors.Err(),
	}
}

// GetObjectKind returns an empty kind, because a readPod is never written to the API.
func (p *readPod) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject returns a copy. The parts that both share never change.
func (p *readPod) DeepCopyObject() runtime.Object {
	out := *p
	return &out
}
