package enforcer

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

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/controllers/podranges"
)

// ownedKind is a kind of object that the operator creates for an Enforcer.
type ownedKind struct {
	schema.GroupVersionKind
	// name is the name of the object if the caches watch only one object of the kind. It is
	// empty if they watch all objects of the kind in the operator's namespace.
	name string
	// cluster is true if the kind is cluster-scoped.
	cluster bool
}

// ownedKinds returns the kinds that the caches watch. ServiceMonitor is not included, because
// not every cluster serves this kind.
func ownedKinds() []ownedKind {
	admission := schema.GroupVersion{Group: "admissionregistration.k8s.io", Version: "v1"}
	roles := schema.GroupVersion{Group: "rbac.authorization.k8s.io", Version: "v1"}
	return []ownedKind{
		{desired.DaemonSetKind, "", false},
		{desired.ServiceKind, "", false},
		{corev1.SchemeGroupVersion.WithKind("ServiceAccount"), "", false},
		{desired.ConfigMapKind, podranges.Name, false},
		{roles.WithKind("Role"), desired.AgentName, false},
		{roles.WithKind("RoleBinding"), desired.AgentName, false},
		{roles.WithKind("ClusterRole"), desired.AgentName, true},
		{roles.WithKind("ClusterRoleBinding"), desired.AgentName, true},
		{admission.WithKind("ValidatingAdmissionPolicy"), desired.OwnNodeName, true},
		{admission.WithKind("ValidatingAdmissionPolicyBinding"), desired.OwnNodeName, true},
	}
}

// CachedObjects returns the options of the caches that the reconciler reads. The caches
// watch only objects that the operator may read. Pods are not included, because other
// reconcilers share the cache of pods; see KeepOwnPods.
func CachedObjects(namespace string) map[client.Object]cache.ByObject {
	out := map[client.Object]cache.ByObject{
		&corev1.Node{}:           {Transform: reduceNode},
		&v1alpha1.NodeEnforcer{}: {Transform: cache.TransformStripManagedFields()},
	}
	for _, kind := range ownedKinds() {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(kind.GroupVersionKind)
		out[object] = kind.options(namespace)
	}
	return out
}

// options returns the options of the cache for the kind.
func (k ownedKind) options(namespace string) cache.ByObject {
	var named fields.Selector
	if k.name != "" {
		named = fields.OneTermEqualSelector(metav1.ObjectNameField, k.name)
	}
	if k.cluster {
		return cache.ByObject{Field: named}
	}
	return cache.ByObject{Namespaces: map[string]cache.Config{namespace: {FieldSelector: named}}}
}

// KeepOwnPods returns a transform function for the shared cache of pods. The function keeps pods of
// the operator's own DaemonSets complete, and applies the function `reduce` to all other pods.
func KeepOwnPods(namespace string, reduce toolscache.TransformFunc) toolscache.TransformFunc {
	return func(in any) (any, error) {
		if pod, ok := in.(*corev1.Pod); ok && pod.Namespace == namespace && isOwnPod(pod) {
			pod.ManagedFields = nil
			return pod, nil
		}
		return reduce(in)
	}
}

func isOwnPod(pod *corev1.Pod) bool {
	component := pod.Labels[desired.LabelComponent]
	return pod.Labels[desired.LabelName] == desired.AppName && (component == desired.ComponentNode || component == desired.ComponentUninstall)
}

// reduceNode keeps only the fields of a Node that the operator reads. They contain the
// pod ranges, and show whether the node should enforce policies, whether it is gone and
// whether it has rebooted.
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
		Spec: corev1.NodeSpec{Taints: node.Spec.Taints, PodCIDRs: node.Spec.PodCIDRs},
	}
	out.Status.NodeInfo.BootID = node.Status.NodeInfo.BootID
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			out.Status.Conditions = []corev1.NodeCondition{{
				Type: condition.Type, Status: condition.Status, LastTransitionTime: condition.LastTransitionTime,
			}}
		}
	}
	return out, nil
}
