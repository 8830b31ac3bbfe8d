package desired

import (
	"fmt"
	"net/netip"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/podranges"
)

// Names of the objects of an Enforcer. The objects with the first two names are defined in
// config/rbac/agent.
const (
	AgentName     = "sluice-agent"
	OwnNodeName   = "sluice-agent-own-node"
	DaemonSetName = "sluice"
	LeavingName   = "sluice-leaving"
	UninstallName = "sluice-uninstall"
	MetricsName   = "sluice-metrics"
)

// FieldOwner is the name under which the operator manages the fields that it applies.
const FieldOwner = "sluice-operator"

// Kinds of the objects of an Enforcer.
var (
	DaemonSetKind      = appsv1.SchemeGroupVersion.WithKind("DaemonSet")
	ConfigMapKind      = corev1.SchemeGroupVersion.WithKind("ConfigMap")
	ServiceKind        = corev1.SchemeGroupVersion.WithKind("Service")
	ServiceMonitorKind = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"}
)

// Nodes contains the properties of the cluster's nodes that affect the Enforcer's objects.
type Nodes struct {
	// PodRanges contains the podCIDRs of all Nodes.
	PodRanges []netip.Prefix
	// The field Replaced is the maximum number of pods that are replaced at the same time. The
	// function Replaced computes it.
	Replaced intstr.IntOrString
}

// Objects returns the objects of an Enforcer in the order in which they are applied. The
// rights come before the pods that need them. The ServiceMonitor is not included.
func Objects(enforcer *v1alpha1.Enforcer, namespace, image string, nodes Nodes) ([]*unstructured.Unstructured, error) {
	out, err := rbac.Agent(namespace)
	if err != nil {
		return nil, err
	}
	daemonSet, err := daemonSetOf(namespace, DaemonSetName, ComponentNode, Pod(enforcer, image), rollingUpdate(&enforcer.Spec, nodes.Replaced))
	if err != nil {
		return nil, err
	}
	out = append(out, podRanges(namespace, append(podranges.Parse(enforcer.Spec.PodRanges), nodes.PodRanges...)), daemonSet, metricsService(&enforcer.Spec, namespace))
	for _, object := range out {
		WithOwner(enforcer, object)
	}
	return out, nil
}

// WithOwner makes the Enforcer the owner of an object, so that the garbage collector deletes
// the object after the Enforcer is deleted.
func WithOwner(enforcer *v1alpha1.Enforcer, object *unstructured.Unstructured) *unstructured.Unstructured {
	addLabels(object)
	object.SetOwnerReferences([]metav1.OwnerReference{ownerOf(enforcer)})
	return object
}

// UninstallDaemonSet returns the DaemonSet that removes everything that the Enforcer's dataplanes
// left on the nodes. The DaemonSet has no owner, because otherwise a foreground deletion of the
// Enforcer would delete the DaemonSet before its pods have finished.
func UninstallDaemonSet(enforcer *v1alpha1.Enforcer, namespace, image string) (*unstructured.Unstructured, error) {
	all := intstr.FromString("100%")
	object, err := daemonSetOf(namespace, UninstallName, ComponentUninstall, UninstallPod(enforcer, image),
		appsv1.RollingUpdateDaemonSet{MaxUnavailable: &all})
	if err != nil {
		return nil, err
	}
	addLabels(object)
	return object, nil
}

// addLabels adds the labels that all objects of the operator share.
func addLabels(object *unstructured.Unstructured) {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[LabelName], labels[LabelManagedBy] = AppName, FieldOwner
	object.SetLabels(labels)
}

func ownerOf(enforcer *v1alpha1.Enforcer) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "Enforcer", Name: enforcer.Name, UID: enforcer.UID,
		Controller: ptr.To(true),
	}
}

// daemonSetOf returns a DaemonSet with a rolling update. While the pod of a node is
// replaced, the rules stay on the node.
func daemonSetOf(
	namespace, name, component string, pod corev1.PodTemplateSpec, update appsv1.RollingUpdateDaemonSet,
) (*unstructured.Unstructured, error) {
	return Unstructured(DaemonSetKind, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: Labels(component)},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: Labels(component)},
			Template: pod,
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
				Type:          appsv1.RollingUpdateDaemonSetStrategyType,
				RollingUpdate: &update,
			},
		},
	})
}

// Unstructured converts an object for server-side apply. The result contains neither the
// status nor fields that are not set.
func Unstructured(kind schema.GroupVersionKind, object runtime.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("converting %s: %w", kind.Kind, err)
	}
	delete(content, "status")
	out := &unstructured.Unstructured{Object: content}
	out.SetGroupVersionKind(kind)
	prune(content)
	return out, nil
}

// TypedDaemonSet converts the result of Unstructured to a DaemonSet.
func TypedDaemonSet(in *unstructured.Unstructured) (*appsv1.DaemonSet, error) {
	out := &appsv1.DaemonSet{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(in.Object, out); err != nil {
		return nil, fmt.Errorf("reading DaemonSet %s: %w", in.GetNamespace()+"/"+in.GetName(), err)
	}
	return out, nil
}

// prune removes fields without a value. Server-side apply would otherwise make the operator the
// manager of these fields.
func prune(fields map[string]any) {
	for name, value := range fields {
		switch v := value.(type) {
		case nil:
			delete(fields, name)
		case map[string]any:
			prune(v)
			if len(v) == 0 {
				delete(fields, name)
			}
		case []any:
			for _, item := range v {
				if m, ok := item.(map[string]any); ok {
					prune(m)
				}
			}
		}
	}
}

// podRanges returns the ConfigMap from which the agents read the pod ranges of the cluster.
func podRanges(namespace string, ranges []netip.Prefix) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{
		"data": map[string]any{podranges.Key: podranges.Format(podranges.Merge(ranges))},
	}}
	out.SetGroupVersionKind(ConfigMapKind)
	out.SetNamespace(namespace)
	out.SetName(podranges.Name)
	return out
}

// Object returns an object with the given metadata and spec.
func Object(kind schema.GroupVersionKind, namespace, name string, labels map[string]string, spec map[string]any) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	out.SetGroupVersionKind(kind)
	out.SetNamespace(namespace)
	out.SetName(name)
	out.SetLabels(labels)
	return out
}

func asFields(labels map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range labels {
		out[k] = v
	}
	return out
}
