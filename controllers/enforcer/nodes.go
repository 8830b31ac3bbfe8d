package enforcer

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/controllers/enforcer/startup"
)

// shouldEnforce reports whether the DaemonSet controller runs an enforcing pod on a node. The
// result depends on the labels and taints of the node.
func shouldEnforce(spec *v1alpha1.EnforcerSpec, node *corev1.Node) bool {
	return isLinux(node) && !desired.IsVirtual(node) && selects(spec, node) && startup.RepellingTaint(spec, node) == nil
}

// replacedPods returns the number or the percentage of pods that the DaemonSet controller may
// replace at the same time.
func replacedPods(spec *v1alpha1.EnforcerSpec, nodes []corev1.Node) intstr.IntOrString {
	selected, notReady := desiredNodes(spec, nodes), 0
	for _, node := range selected {
		if isNotReady(node) {
			notReady++
		}
	}
	return desired.Replaced(spec, len(selected), notReady)
}

func isLinux(node *corev1.Node) bool {
	system := node.Labels[corev1.LabelOSStable]
	return system == "" || system == string(corev1.Linux)
}

// selects reports whether a node has all labels in the nodeSelector of the spec.
func selects(spec *v1alpha1.EnforcerSpec, node *corev1.Node) bool {
	for key, value := range spec.NodeSelector {
		if got, ok := node.Labels[key]; !ok || got != value {
			return false
		}
	}
	return true
}
