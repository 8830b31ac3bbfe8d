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

// pods keep the pods of the world.
func pods() subject[*readPod] {
	return subject[*readPod]{
		kind:   kindPod,
		object: &corev1.Pod{},
		upsert: func(s *policy.Snapshot, in *readPod) error {
			s.UpsertPod(in.pod)
			return in.fault
		},
		remove: func(s *policy.Snapshot, key types.NamespacedName) { s.DeletePod(key.Namespace, key.Name) },
	}
}

// readPod is a Pod as the cache keeps it: read once, and of its metadata no more
// than caches and queues ask for. An agent holds every pod of the cluster, and a
// corev1.Pod takes four times the memory even when it is empty but for that.
type readPod struct {
	metav1.ObjectMeta
	// pod belongs to whoever holds the world.
	pod *policy.Pod
	// fault is why a part of the Pod could not be read and is left out.
	fault error
}

// podRead reads a Pod.
func podRead(in *corev1.Pod) *readPod {
	pod, err := policy.PodOf(in)
	return &readPod{
		ObjectMeta: metav1.ObjectMeta{Namespace: in.Namespace, Name: in.Name, UID: in.UID, ResourceVersion: in.ResourceVersion},
		pod:        &pod,
		fault:      err,
	}
}

// GetObjectKind says that it has no kind of the API: it is never written there.
func (p *readPod) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject gives a copy. What they share never changes.
func (p *readPod) DeepCopyObject() runtime.Object {
	out := *p
	return &out
}
