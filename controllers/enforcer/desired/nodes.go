package desired

import (
	"encoding/hex"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/apply"
)

const (
	// AnnotationMadeFrom is an annotation of the DaemonSets that run only on listed nodes. Its
	// value is a hash of the whole DaemonSet except the list of nodes. The operator compares hashes
	// to detect outdated DaemonSets.
	AnnotationMadeFrom = "policy.sluice.dev/made-from"
	// LabelLeaving is a label of the pods of LeavingDaemonSet, and of no other enforcing pods.
	LabelLeaving = "policy.sluice.dev/leaving"
)

// LeavingDaemonSet returns the DaemonSet that enforces policies on nodes that are no longer
// selected, until the rules are removed from these nodes. Its pods are the same as the other
// enforcing pods except for one label.
func LeavingDaemonSet(enforcer *v1alpha1.Enforcer, namespace, image string, nodes []string) (*unstructured.Unstructured, error) {
	pod := Pod(enforcer, image)
	pod.Labels[LabelLeaving] = "true"
	pod.Spec.NodeSelector = linuxSelector(nil)
	object, err := daemonSetOf(namespace, LeavingName, ComponentNode, pod, appsv1.RollingUpdateDaemonSet{})
	if err != nil {
		return nil, err
	}
	WithOwner(enforcer, object)
	return onNodes(object, nodes)
}

// UninstallDaemonSetOn returns the result of UninstallDaemonSet, limited to the given nodes.
func UninstallDaemonSetOn(enforcer *v1alpha1.Enforcer, namespace, image string, nodes []string) (*unstructured.Unstructured, error) {
	object, err := UninstallDaemonSet(enforcer, namespace, image)
	if err != nil {
		return nil, err
	}
	return onNodes(object, nodes)
}

// onNodes limits a DaemonSet to the given nodes. With the update strategy OnDelete, a change of
// the list of nodes does not replace the pods on nodes that stay in the list. The DaemonSet
// controller still ends the pods on nodes that are removed from the list.
//
// Each change of the list creates a ControllerRevision. With a revisionHistoryLimit of 0, the
// DaemonSet controller deletes all revisions from which no pod was created, so the number of
// revisions is limited by the number of pods.
func onNodes(object *unstructured.Unstructured, nodes []string) (*unstructured.Unstructured, error) {
	sum, err := apply.Fingerprint(object)
	if err != nil {
		return nil, err
	}
	daemonSet, err := TypedDaemonSet(object)
	if err != nil {
		return nil, err
	}
	// The API allows only one value in each field requirement, so each node needs its own node
	// selector term.
	var terms []corev1.NodeSelectorTerm
	for _, node := range nodes {
		terms = append(terms, corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{
			Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node},
		}}})
	}
	daemonSet.Spec.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms},
	}}
	daemonSet.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
	daemonSet.Spec.RevisionHistoryLimit = ptr.To[int32](0)
	daemonSet.Annotations = map[string]string{AnnotationMadeFrom: hex.EncodeToString(sum[:])}
	return Unstructured(DaemonSetKind, daemonSet)
}

// NodesOf returns the nodes to which LeavingDaemonSet or UninstallDaemonSetOn limited a DaemonSet.
// It returns nil if the `object` parameter is nil, or if the DaemonSet runs on all nodes.
func NodesOf(object *unstructured.Unstructured) ([]string, error) {
	if object == nil {
		return nil, nil
	}
	daemonSet, err := TypedDaemonSet(object)
	if err != nil {
		return nil, err
	}
	affinity := daemonSet.Spec.Template.Spec.Affinity
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil, nil
	}
	var out []string
	for _, term := range affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, field := range term.MatchFields {
			out = append(out, field.Values...)
		}
	}
	return out, nil
}

// NodeSelectorOf returns the nodeSelector of the Enforcer from which a DaemonSet was created.
func NodeSelectorOf(daemonSet *appsv1.DaemonSet) map[string]string {
	out := map[string]string{}
	for key, value := range daemonSet.Spec.Template.Spec.NodeSelector {
		if key != corev1.LabelOSStable {
			out[key] = value
		}
	}
	return out
}
