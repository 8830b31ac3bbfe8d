package operator

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// heartbeatTimeout is how old a NodeEnforcer's heartbeat may be. Agents write
// every 12 seconds at least; the rest is room for a busy API server and for
// clocks that differ. An agent that lost the API server leaves its dataplane
// enforcing, but nobody can say what.
const heartbeatTimeout = time.Minute

// noAgent is what is known of a node of which nobody has reported.
const noAgent = "no agent has reported yet"

// notEnforcing says why a node is not known to enforce, "" if it is.
func notEnforcing(n *v1alpha1.NodeEnforcer, now time.Time) string {
	ready := meta.FindStatusCondition(n.Status.Conditions, string(v1alpha1.ConditionReady))
	switch {
	case ready == nil:
		return noAgent
	case stale(n, now):
		return fmt.Sprintf("its agent has not reported for more than %s", heartbeatTimeout)
	case ready.Status != metav1.ConditionTrue:
		return ready.Message
	}
	return ""
}

// stale reports whether a node's status is too old to be believed. One without
// a heartbeat is of an agent that has not written yet.
func stale(n *v1alpha1.NodeEnforcer, now time.Time) bool {
	return n.Status.Heartbeat == nil || now.Sub(n.Status.Heartbeat.Time) > heartbeatTimeout
}

// shouldEnforce reports whether the node's pod belongs on a node, as the
// DaemonSet controller decides it.
func shouldEnforce(spec *v1alpha1.EnforcerSpec, node *corev1.Node) bool {
	return isLinux(node) && selects(spec, node) && repelling(spec, node) == nil
}

func isLinux(node *corev1.Node) bool {
	system := node.Labels[corev1.LabelOSStable]
	return system == "" || system == string(corev1.Linux)
}

// selects reports whether a node has all labels of the nodeSelector.
func selects(spec *v1alpha1.EnforcerSpec, node *corev1.Node) bool {
	for key, value := range spec.NodeSelector {
		if got, ok := node.Labels[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// repelling gives a taint that keeps the node's pod away, nil if none does.
func repelling(spec *v1alpha1.EnforcerSpec, node *corev1.Node) *corev1.Taint {
	for i := range node.Spec.Taints {
		if !tolerated(spec.Tolerations, &node.Spec.Taints[i]) {
			return &node.Spec.Taints[i]
		}
	}
	return nil
}

// daemonTaints are those that the DaemonSet controller lets every pod of a
// DaemonSet on the host's network tolerate.
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

// few joins the first of many: three, and how many more there are.
func few(all []string, separator string) string {
	const shown = 3
	if len(all) <= shown {
		return strings.Join(all, separator)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:shown], separator), len(all)-shown)
}
