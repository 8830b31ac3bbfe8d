package operator

import (
	"fmt"

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
)

// Names of what an Enforcer comes to. Those of the agent's rights are in
// config/rbac/agent.
const (
	agentName     = "sluice-agent"
	ownNodeName   = "sluice-agent-own-node"
	daemonSetName = "sluice"
	uninstallName = "sluice-uninstall"
	metricsName   = "sluice-metrics"
)

// Kinds of what an Enforcer comes to.
var (
	daemonSetKind      = appsv1.SchemeGroupVersion.WithKind("DaemonSet")
	serviceKind        = corev1.SchemeGroupVersion.WithKind("Service")
	serviceMonitorKind = schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "ServiceMonitor"}
)

// objectsOf gives what an Enforcer comes to, in the order in which it is
// applied: rights before the pods that need them. The ServiceMonitor is not
// among them.
func objectsOf(enforcer *v1alpha1.Enforcer, namespace, image string) ([]*unstructured.Unstructured, error) {
	out, err := rbac.Agent(namespace)
	if err != nil {
		return nil, err
	}
	daemonSet, err := daemonSetOf(namespace, daemonSetName, componentNode, Pod(enforcer, image))
	if err != nil {
		return nil, err
	}
	out = append(out, daemonSet, metricsService(namespace))
	for _, object := range out {
		owned(enforcer, object)
	}
	return out, nil
}

// owned lets an object go with its Enforcer.
func owned(enforcer *v1alpha1.Enforcer, object *unstructured.Unstructured) *unstructured.Unstructured {
	manage(object)
	object.SetOwnerReferences([]metav1.OwnerReference{ownerOf(enforcer)})
	return object
}

// uninstallOf gives the DaemonSet that undoes what an Enforcer came to. Nothing
// owns it: whoever deletes the Enforcer together with what it owns would
// otherwise delete it before it has done its work.
func uninstallOf(enforcer *v1alpha1.Enforcer, namespace, image string) (*unstructured.Unstructured, error) {
	object, err := daemonSetOf(namespace, uninstallName, componentUninstall, UninstallPod(enforcer, image))
	if err != nil {
		return nil, err
	}
	manage(object)
	return object, nil
}

// manage says in labels what an object is part of.
func manage(object *unstructured.Unstructured) {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelName], labels[labelManagedBy] = appName, fieldOwner
	object.SetLabels(labels)
}

func ownerOf(enforcer *v1alpha1.Enforcer) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "Enforcer", Name: enforcer.Name, UID: enforcer.UID,
		Controller: ptr.To(true),
	}
}

// daemonSetOf replaces its pods one node after the other. A node's rules stay
// while its pod is replaced. Two pods at once cannot be: they have the same
// ports of the node.
func daemonSetOf(namespace, name, component string, pod corev1.PodTemplateSpec) (*unstructured.Unstructured, error) {
	atOnce := intstr.FromInt32(1)
	if component == componentUninstall {
		atOnce = intstr.FromString("100%")
	}
	return unstructuredOf(daemonSetKind, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labelsOf(component)},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labelsOf(component)},
			Template: pod,
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{
				Type:          appsv1.RollingUpdateDaemonSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &atOnce},
			},
		},
	})
}

// unstructuredOf gives an object as it is applied: with what it says, and
// without what it would say if it were the API server's.
func unstructuredOf(kind schema.GroupVersionKind, object runtime.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", kind.Kind, err)
	}
	delete(content, "status")
	out := &unstructured.Unstructured{Object: content}
	out.SetGroupVersionKind(kind)
	prune(content)
	return out, nil
}

// typedDaemonSet reads what unstructuredOf writes.
func typedDaemonSet(in *unstructured.Unstructured) (*appsv1.DaemonSet, error) {
	out := &appsv1.DaemonSet{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(in.Object, out); err != nil {
		return nil, fmt.Errorf("reading DaemonSet %s: %w", nameOf(in), err)
	}
	return out, nil
}

// prune removes fields without a value, which would otherwise be fields that
// the operator claims for itself.
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

// metricsService names the metrics of all nodes. It has no address of its own.
func metricsService(namespace string) *unstructured.Unstructured {
	port := func(name string, number int64) map[string]any {
		return map[string]any{"name": name, "port": number, "targetPort": name, "protocol": "TCP"}
	}
	return object(serviceKind, namespace, metricsName, labelsOf(componentNode), map[string]any{
		"clusterIP": corev1.ClusterIPNone,
		"selector":  asFields(labelsOf(componentNode)),
		// Whoever is not ready is whom one wants to hear of.
		"publishNotReadyAddresses": true,
		"ports":                    []any{port(agentMetrics, AgentMetricsPort), port(dataplaneMetrics, DataplaneMetricsPort)},
	})
}

// serviceMonitor lets the operator of Prometheus find the Service.
func serviceMonitor(namespace string) *unstructured.Unstructured {
	endpoint := func(port string) map[string]any {
		// The node is what alerts name.
		return map[string]any{"port": port, "relabelings": []any{map[string]any{
			"sourceLabels": []any{"__meta_kubernetes_pod_node_name"}, "targetLabel": "node", "action": "replace",
		}}}
	}
	return object(serviceMonitorKind, namespace, metricsName, labelsOf(componentNode), map[string]any{
		"selector":  map[string]any{"matchLabels": asFields(labelsOf(componentNode))},
		"endpoints": []any{endpoint(agentMetrics), endpoint(dataplaneMetrics)},
	})
}

func object(kind schema.GroupVersionKind, namespace, name string, labels map[string]string, spec map[string]any) *unstructured.Unstructured {
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
