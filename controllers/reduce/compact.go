package reduce

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
)

// CompactPod contains only the fields of a Pod that affect policies. A corev1.Pod with the same
// fields takes four times as much memory.
//
// A cache that stores CompactPods passes them to event handlers. It cannot return them from Get
// and List, because the type of the result would have to be corev1.Pod.
type CompactPod struct {
	compact
	// Pod is shared with all readers, so it must not be changed.
	Pod *policy.Pod
}

// Pod returns a CompactPod. It ignores parts of the Pod that cannot be read.
func Pod(in *corev1.Pod) *CompactPod {
	pod, _ := policy.ReadPod(in)
	pod.Namespace, pod.Node = Interned(pod.Namespace), Interned(pod.Node)
	// No policy refers to the addresses of the pod's node.
	pod.HostAddresses = nil
	return &CompactPod{compact: compactOf(&in.ObjectMeta), Pod: pod}
}

// CompactPolicy contains a NetworkPolicy in parsed form only. As with CompactPods, a
// cache passes CompactPolicies to event handlers and cannot return them from Get and
// List.
type CompactPolicy struct {
	compact
	// Policy is shared with all readers, so it must not be changed. It also contains the errors
	// that were found in the object.
	Policy *policy.Policy
}

// Policy returns a CompactPolicy.
func Policy(in *networkingv1.NetworkPolicy) *CompactPolicy {
	p, _ := read.NetworkPolicy(in)
	return &CompactPolicy{compact: compactOf(&in.ObjectMeta), Policy: p}
}

// ClusterPolicy returns a CompactPolicy of a ClusterNetworkPolicy.
func ClusterPolicy(in *unstructured.Unstructured) *CompactPolicy {
	p, _ := read.ClusterNetworkPolicy(in)
	return &CompactPolicy{
		compact: compact{metav1.ObjectMeta{Name: in.GetName(), UID: in.GetUID(), ResourceVersion: in.GetResourceVersion()}},
		Policy:  p,
	}
}

// compact contains the metadata that a cache needs. It implements client.Object, except for the
// method DeepCopyObject.
type compact struct{ metav1.ObjectMeta }

func compactOf(in *metav1.ObjectMeta) compact {
	return compact{metav1.ObjectMeta{Namespace: Interned(in.Namespace), Name: in.Name, UID: in.UID, ResourceVersion: in.ResourceVersion}}
}

// GetObjectKind returns an empty kind. This is enough because a compact object is never sent to
// the API server.
func (*compact) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject returns a copy that shares the policy.Pod.
func (p *CompactPod) DeepCopyObject() runtime.Object {
	out := *p
	return &out
}

// DeepCopyObject returns a copy that shares the policy.Policy.
func (p *CompactPolicy) DeepCopyObject() runtime.Object {
	out := *p
	return &out
}
