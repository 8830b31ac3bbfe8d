package desired

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// virtualNodes lists the labels of virtual nodes. A virtual node has no host network and no
// kernel that a pod can configure, so no DaemonSet pod can run on it.
var virtualNodes = []corev1.NodeSelectorRequirement{
	{Key: "eks.amazonaws.com/compute-type", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"fargate"}},
	{Key: "type", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"virtual-kubelet"}},
}

// IsVirtual reports whether a node is a virtual node: a node of EKS Fargate or of a virtual
// kubelet. Policies cannot be enforced on such a node.
func IsVirtual(node *corev1.Node) bool {
	for _, requirement := range virtualNodes {
		if node.Labels[requirement.Key] == requirement.Values[0] {
			return true
		}
	}
	return false
}

// RealNodes returns a node affinity that excludes virtual nodes.
func RealNodes() *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: virtualNodes}},
		},
	}}
}

func securityContext(spec *v1alpha1.EnforcerSpec) *corev1.PodSecurityContext {
	out := &corev1.PodSecurityContext{
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if spec.SELinuxType != "" {
		out.SELinuxOptions = &corev1.SELinuxOptions{Type: spec.SELinuxType}
	}
	return out
}

func pullSecrets(spec *v1alpha1.EnforcerSpec) []corev1.LocalObjectReference {
	var out []corev1.LocalObjectReference
	for _, name := range spec.ImagePullSecrets {
		out = append(out, corev1.LocalObjectReference{Name: string(name)})
	}
	return out
}

// apiServer returns the environment variables in which client-go finds the address of the API
// server. If the pod does not set these variables, the kubelet sets them to the address of the
// Service `kubernetes`.
func apiServer(spec *v1alpha1.EnforcerSpec) []corev1.EnvVar {
	if spec.APIServer == nil {
		return nil
	}
	port := spec.APIServer.Port
	if port == 0 {
		port = 443
	}
	return []corev1.EnvVar{
		{Name: "KUBERNETES_SERVICE_HOST", Value: spec.APIServer.Host},
		{Name: "KUBERNETES_SERVICE_PORT", Value: strconv.Itoa(int(port))},
	}
}
