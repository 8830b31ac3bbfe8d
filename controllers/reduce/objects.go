package reduce

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Namespace returns a Namespace that contains only its reduced metadata and the time of its
// deletion.
func Namespace(in *corev1.Namespace) *corev1.Namespace {
	out := &corev1.Namespace{ObjectMeta: metadata(&in.ObjectMeta)}
	out.DeletionTimestamp = in.DeletionTimestamp
	return out
}

// Node returns a Node that contains only its reduced metadata, its addresses and its pod
// ranges.
func Node(in *corev1.Node) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metadata(&in.ObjectMeta),
		Spec:       corev1.NodeSpec{PodCIDRs: in.Spec.PodCIDRs},
		Status:     corev1.NodeStatus{Addresses: in.Status.Addresses},
	}
}

// NetworkPolicy returns a NetworkPolicy that contains only its reduced metadata and its
// spec.
func NetworkPolicy(in *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: metadata(&in.ObjectMeta), Spec: in.Spec}
}

func metadata(in *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace:         Interned(in.Namespace),
		Name:              in.Name,
		UID:               in.UID,
		ResourceVersion:   in.ResourceVersion,
		Generation:        in.Generation,
		CreationTimestamp: in.CreationTimestamp,
		Labels:            labels(in.Labels),
	}
}

// labels returns a copy of a label map. All copies share the memory of equal keys and of equal
// values. This saves memory, because the pods of a Deployment have the same labels.
func labels(in map[string]string) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[Interned(k)] = Interned(v)
	}
	return out
}

// Interned returns a string that is equal to s. All equal strings that Interned returns share
// their memory.
func Interned(s string) string { return unique.Make(s).Value() }
