package startup

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// RepellingTaint returns a taint that keeps the enforcing pod off the node, or nil if the
// pod tolerates all taints of the node.
func RepellingTaint(spec *v1alpha1.EnforcerSpec, node *corev1.Node) *corev1.Taint {
	for i := range node.Spec.Taints {
		if !tolerated(Tolerations(spec), &node.Spec.Taints[i]) {
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
