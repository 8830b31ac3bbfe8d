package inventory

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// clusterKinds contains the cluster-scoped kinds.
var clusterKinds = append([]string{"Namespace", "Node", "ClusterNetworkPolicy"}, NotEvaluatedKinds...)

// ObjectName returns the name of an object for messages, such as
// "Pod shop/web", "Node n1" or "object without a name".
func ObjectName(kind, namespace, name string) string {
	if kind == "" {
		kind = "object"
	}
	if name == "" {
		return kind + " without a name"
	}
	if slices.Contains(clusterKinds, kind) {
		return kind + " " + name
	}
	if namespace == "" {
		namespace = corev1.NamespaceDefault
	}
	return kind + " " + namespace + "/" + name
}

// WorkloadOf returns the name of a pod's controller, or the pod's own name if the pod has no
// controller. The controller of a Deployment's pod is a ReplicaSet. The name of the
// ReplicaSet is the Deployment's name followed by a hash, such as web-5d4f8c7b9. For such a
// pod, WorkloadOf returns the Deployment's name.
func WorkloadOf(pod metav1.Object) string {
	for _, owner := range pod.GetOwnerReferences() {
		if owner.Controller == nil || !*owner.Controller {
			continue
		}
		if hash := pod.GetLabels()[appsv1.DefaultDeploymentUniqueLabelKey]; owner.Kind == "ReplicaSet" && hash != "" {
			return strings.TrimSuffix(owner.Name, "-"+hash)
		}
		return owner.Name
	}
	return pod.GetName()
}
