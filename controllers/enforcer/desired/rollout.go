package desired

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// defaultMaxUnavailable applies if an Enforcer specifies no value, for example because it was
// created before the field existed.
var defaultMaxUnavailable = intstr.FromString("10%")

// Replaced returns the number or the percentage of pods that the DaemonSet controller may replace
// at the same time. The `nodes` parameter is the number of nodes that should enforce policies. The
// parameter notReady is the number of these nodes that are not Ready.
//
// The DaemonSet controller counts each pod that is not available, so the pods of nodes that are
// not Ready would use up maxUnavailable. Replaced therefore adds the number of these nodes. For
// example, the result for 10% of 1,000 nodes is 10% if every node is Ready, and 103 if three nodes
// are not. The update strategy is not a part of the pod template, so a change of the number
// replaces no pod.
func Replaced(spec *v1alpha1.EnforcerSpec, nodes, notReady int) intstr.IntOrString {
	limit := ptr.Deref(spec.UpdateStrategy.MaxUnavailable, defaultMaxUnavailable)
	if notReady == 0 {
		return limit
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(&limit, nodes, true)
	if err != nil {
		// The API server rejects such an invalid value.
		n = 1
	}
	return intstr.FromInt32(int32(max(n, 1) + notReady))
}

// rollingUpdate returns how the enforcing pods are replaced. With Surge, the new pod of a node
// starts while the old pod runs. The old pod ends after the new pod has taken over and is ready.
// With InPlace, the old pod ends before the new pod starts.
func rollingUpdate(spec *v1alpha1.EnforcerSpec, replaced intstr.IntOrString) appsv1.RollingUpdateDaemonSet {
	none := intstr.FromInt32(0)
	if spec.UpdateStrategy.Type == v1alpha1.UpdateInPlace {
		return appsv1.RollingUpdateDaemonSet{MaxUnavailable: &replaced, MaxSurge: &none}
	}
	return appsv1.RollingUpdateDaemonSet{MaxUnavailable: &none, MaxSurge: &replaced}
}
