package operator

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ownedKind is a kind of what an Enforcer comes to.
type ownedKind struct {
	schema.GroupVersionKind
	// name is the only one of a kind that has no namespace; empty for the others.
	name string
}

// ownedKinds are those that caches follow: all but the ServiceMonitor, which is
// not in every cluster.
func ownedKinds() []ownedKind {
	admission := schema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}
	roles := schema.GroupVersion{Group: "rbac.authorization.k8s.io", Version: "v1"}
	return []ownedKind{
		{daemonSetKind, ""},
		{serviceKind, ""},
		{corev1.SchemeGroupVersion.WithKind("ServiceAccount"), ""},
		{roles.WithKind("ClusterRole"), agentName},
		{roles.WithKind("ClusterRoleBinding"), agentName},
		{admission.WithKind("ValidatingAdmissionPolicy"), ownNodeName},
		{admission.WithKind("ValidatingAdmissionPolicyBinding"), ownNodeName},
	}
}

// cacheOptions let the caches keep only what the reconcilers read, and ask only
// for what the operator may see.
func cacheOptions(namespace string) cache.Options {
	byObject := map[client.Object]cache.ByObject{}
	for object, options := range cachedObjects() {
		if _, ok := object.(*corev1.Pod); ok {
			options.Transform = keepingOwnPods(namespace, options.Transform)
		}
		byObject[object] = options
	}
	byObject[&corev1.Node{}] = cache.ByObject{Transform: reduceNode}
	for _, kind := range ownedKinds() {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(kind.GroupVersionKind)
		options := cache.ByObject{}
		if kind.name != "" {
			options.Field = fields.OneTermEqualSelector(metav1.ObjectNameField, kind.name)
		} else {
			options.Namespaces = map[string]cache.Config{namespace: {}}
		}
		byObject[object] = options
	}
	return cache.Options{ByObject: byObject, DefaultTransform: cache.TransformStripManagedFields()}
}

// keepingOwnPods keeps all of the pods that the operator made, and reduces all
// others.
func keepingOwnPods(namespace string, reduce toolscache.TransformFunc) toolscache.TransformFunc {
	return func(in any) (any, error) {
		if pod, ok := in.(*corev1.Pod); ok && pod.Namespace == namespace && ownPod(pod) {
			pod.ManagedFields = nil
			return pod, nil
		}
		return reduce(in)
	}
}

func ownPod(pod *corev1.Pod) bool {
	component := pod.Labels[labelComponent]
	return pod.Labels[labelName] == appName && (component == componentNode || component == componentUninstall)
}

// reduceNode keeps what says whether a node should enforce, and whether it lives.
func reduceNode(in any) (any, error) {
	node, ok := in.(*corev1.Node)
	if !ok {
		return in, nil
	}
	out := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion,
			CreationTimestamp: node.CreationTimestamp, Labels: maps.Clone(node.Labels),
		},
		Spec: corev1.NodeSpec{Taints: node.Spec.Taints},
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			out.Status.Conditions = []corev1.NodeCondition{{
				Type: condition.Type, Status: condition.Status, LastTransitionTime: condition.LastTransitionTime,
			}}
		}
	}
	return out, nil
}
