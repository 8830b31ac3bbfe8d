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
	return isLinux(node) && !desired.IsVirtual(node) && selects(spec, node) && repellingTaint(spec, node) == nil
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

// repellingTaint returns a taint that keeps the enforcing pod off the node, or nil if the
// pod tolerates all taints of the node.
func repellingTaint(spec *v1alpha1.EnforcerSpec, node *corev1.Node) *corev1.Taint {
	for i := range node.Spec.Taints {
		if !tolerated(startup.Tolerations(spec), &node.Spec.Taints[i]) {
			return &node.Spec.Taints[i]
		}
	}
	return nil
}

// daemonTaints lists the taints that every DaemonSet pod in the host network tolerates, because
// the DaemonSet controller adds the tolerations.
var daemonTaints = map[string]corev1.TaintEffect{
	corev1.TaintNodeNotReady:           corev1.TaintEffectNoExecute,
	corev1.TaintNodeUnreachable:        corev1.TaintEffectNoExecute,
	corev1.TaintNodeDiskPressure:       corev1.TaintEffectNoSchedule,
	corev1.TaintNodeMemoryPressure:     corev1.TaintEffectNoSchedule,
	corev1.TaintNodePIDPressure:        corev1.TaintEffectNoSchedule,
	corev1.TaintNodeUnschedulable:      corev1.TaintEffectNoSchedule,
	corev1.TaintNodeNetworkUnavailable: corev1.TaintEffectNoSchedule,
}

func tolerated(tolerations []v1alpha1.Toleration, taint *corev1.Taint) bool {
	if taint.Effect == corev1.TaintEffectPreferNoSchedule || daemonTaints[taint.Key] == taint.Effect {
		return true
	}
	for _, t := range tolerations {
		sameEffect := t.Effect == "" || string(t.Effect) == string(taint.Effect)
		sameKey := t.Key == "" || t.Key == taint.Key
		sameValue := t.Operator == v1alpha1.TolerationExists || t.Value == taint.Value
		if sameEffect && sameKey && sameValue {
			return true
		}
	}
	return false
}
