package operator

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// Parts for the tests, which are outside of the package.
var (
	AddPolicyStatus = addPolicyStatus
	CachedObjects   = cachedObjects
	EnforcerStatus  = enforcerStatus
)

// Cluster is what an Enforcer's status is made of.
type Cluster = cluster

// NewCluster puts one together.
func NewCluster(d *appsv1.DaemonSet, pods []corev1.Pod, nodes []corev1.Node, enforcers ...v1alpha1.NodeEnforcer) Cluster {
	return cluster{daemonSet: d, pods: pods, nodes: nodes, nodeEnforcers: enforcers}
}
