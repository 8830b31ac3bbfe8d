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

// WorkloadOf returns the kind and the name of a pod's controller. If the pod has no controller, the
// kind is "", and the name is the pod's own name. The controller of a Deployment's pod is a
// ReplicaSet. The name of the ReplicaSet is the Deployment's name followed by a hash, such as
// web-5d4f8c7b9. For such a pod, WorkloadOf returns the Deployment.
func WorkloadOf(pod metav1.Object) (kind, name string) {
	for _, owner := range pod.GetOwnerReferences() {
		if owner.Controller == nil || !*owner.Controller {
			continue
		}
		if hash := pod.GetLabels()[appsv1.DefaultDeploymentUniqueLabelKey]; owner.Kind == "ReplicaSet" && hash != "" {
			return "Deployment", strings.TrimSuffix(owner.Name, "-"+hash)
		}
		return owner.Kind, owner.Name
	}
	return "", pod.GetName()
}
