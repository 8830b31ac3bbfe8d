package node

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// cacheOptions let the caches keep of each object only what the reconcilers
// read. An agent holds every pod of the cluster: managed fields, annotations,
// volumes, environments and conditions are nine tenths of a usual Pod.
//
// Objects are handed out as they lie in the cache, uncopied. Nobody changes
// them, and the snapshot shares their labels and specs.
func cacheOptions() cache.Options {
	share := true
	byObject := ReducedObjects()
	byObject[&corev1.Node{}] = cache.ByObject{Transform: reducing(reducedNode)}
	return cache.Options{DefaultUnsafeDisableDeepCopy: &share, ByObject: byObject}
}

// ReducedObjects let a cache keep of Pods, Namespaces and NetworkPolicies only
// what policies and their status are made of.
func ReducedObjects() map[client.Object]cache.ByObject {
	share := true
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:                 {Transform: reducing(reducedPod), UnsafeDisableDeepCopy: &share},
		&corev1.Namespace{}:           {Transform: reducing(reducedNamespace), UnsafeDisableDeepCopy: &share},
		&networkingv1.NetworkPolicy{}: {Transform: reducing(reducedPolicy), UnsafeDisableDeepCopy: &share},
	}
}

// reducing makes a transform of a function on one type. What is of another
// type, such as the mark of a deleted object, passes.
func reducing[T any](reduce func(*T) *T) func(any) (any, error) {
	return func(in any) (any, error) {
		if object, ok := in.(*T); ok {
			return reduce(object), nil
		}
		return in, nil
	}
}

func reducedPod(in *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: reducedMeta(&in.ObjectMeta),
		Spec: corev1.PodSpec{
			NodeName:       interned(in.Spec.NodeName),
			HostNetwork:    in.Spec.HostNetwork,
			Containers:     reducedContainers(in.Spec.Containers),
			InitContainers: reducedContainers(in.Spec.InitContainers),
		},
		Status: corev1.PodStatus{
			Phase:   corev1.PodPhase(interned(string(in.Status.Phase))),
			PodIP:   in.Status.PodIP,
			PodIPs:  in.Status.PodIPs,
			HostIP:  interned(in.Status.HostIP),
			HostIPs: in.Status.HostIPs,
		},
	}
}

// reducedContainers keeps containers with named ports, which is all that a
// policy can refer to, and of those the ports and whether they run beside the
// pod's others.
func reducedContainers(in []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for i := range in {
		var ports []corev1.ContainerPort
		for _, p := range in[i].Ports {
			if p.Name != "" {
				ports = append(ports, corev1.ContainerPort{Name: interned(p.Name), ContainerPort: p.ContainerPort, Protocol: corev1.Protocol(interned(string(p.Protocol)))})
			}
		}
		if ports != nil {
			out = append(out, corev1.Container{RestartPolicy: in[i].RestartPolicy, Ports: ports})
		}
	}
	return out
}

func reducedNamespace(in *corev1.Namespace) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: reducedMeta(&in.ObjectMeta)}
}

func reducedNode(in *corev1.Node) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: reducedMeta(&in.ObjectMeta),
		Status:     corev1.NodeStatus{Addresses: in.Status.Addresses},
	}
}

func reducedPolicy(in *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: reducedMeta(&in.ObjectMeta), Spec: in.Spec}
}

func reducedMeta(in *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace:         interned(in.Namespace),
		Name:              in.Name,
		UID:               in.UID,
		ResourceVersion:   in.ResourceVersion,
		Generation:        in.Generation,
		CreationTimestamp: in.CreationTimestamp,
		Labels:            internedLabels(in.Labels),
	}
}

// internedLabels shares keys and values with all other objects: pods of one
// Deployment have the same ones.
func internedLabels(in map[string]string) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[interned(k)] = interned(v)
	}
	return out
}

func interned(s string) string { return unique.Make(s).Value() }
