// Package startup implements the startup taint. An administrator registers new nodes with this
// taint, so that no pod starts on a node before policies are enforced there.
package startup

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// Tolerations returns the tolerations of the enforcing pod. If the spec enables the removal of
// the startup taint, the pod tolerates this taint, because the taint stays on a node until the
// pod enforces policies.
func Tolerations(spec *v1alpha1.EnforcerSpec) []v1alpha1.Toleration {
	enough := func(t v1alpha1.Toleration) bool {
		return t.Operator == v1alpha1.TolerationExists && t.Effect == "" && (t.Key == "" || t.Key == v1alpha1.TaintNotReady)
	}
	if !spec.StartupTaint || slices.ContainsFunc(spec.Tolerations, enough) {
		return spec.Tolerations
	}
	return append(slices.Clone(spec.Tolerations), v1alpha1.Toleration{Key: v1alpha1.TaintNotReady, Operator: v1alpha1.TolerationExists})
}

// HasTaint reports whether a node has the startup taint.
func HasTaint(node *corev1.Node) bool { return slices.ContainsFunc(node.Spec.Taints, isStartupTaint) }

func isStartupTaint(t corev1.Taint) bool { return t.Key == v1alpha1.TaintNotReady }

// NotStarted returns "" if the NodeEnforcer `report` proves that a node has enforced the current
// policies since its last boot. Otherwise, it returns the reason. The `report` parameter may be
// nil. A report from before the last boot proves nothing, because the rules do not survive a
// reboot.
func NotStarted(node *corev1.Node, report *v1alpha1.NodeEnforcer) string {
	if report == nil {
		report = &v1alpha1.NodeEnforcer{}
	}
	if why := report.NotEnforcing(); why != "" {
		return why
	}
	synced := meta.FindStatusCondition(report.Status.Conditions, string(v1alpha1.ConditionSynced))
	switch {
	case synced == nil || synced.Status != metav1.ConditionTrue:
		return "the published generation is not up to date yet"
	case report.Status.BootID == "" || report.Status.BootID != node.Status.NodeInfo.BootID:
		return "its agent has not reported since the node booted"
	}
	return ""
}

// RemoveTaint removes the startup taint from a node. If another client has changed the Node
// after it was read, RemoveTaint returns a conflict and does not overwrite this change.
func RemoveTaint(ctx context.Context, c client.Client, node *corev1.Node) error {
	after := node.DeepCopy()
	after.Spec.Taints = slices.DeleteFunc(after.Spec.Taints, isStartupTaint)
	// A merge patch replaces the whole list of taints. It must therefore contain the resource
	// version of the Node from which the list was read.
	patch := client.MergeFromWithOptions(node, client.MergeFromWithOptimisticLock{})
	if err := c.Patch(ctx, after, patch); err != nil {
		return fmt.Errorf("removing taint %s from node %s: %w", v1alpha1.TaintNotReady, node.Name, err)
	}
	return nil
}
