package sysdump

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// object is a reduced object.
type object = map[string]any

// The function `reduced` sorts a list of objects by namespace and name, and calls the function
// `reduce` on each object. It returns the results.
func reduced[T any](list []T, reduce func(*T) any) []any {
	slices.SortStableFunc(list, func(a, b T) int {
		x, isObject := any(&a).(metav1.Object)
		y, _ := any(&b).(metav1.Object)
		if !isObject {
			return 0
		}
		return cmp.Or(cmp.Compare(x.GetNamespace(), y.GetNamespace()), cmp.Compare(x.GetName(), y.GetName()))
	})
	out := []any{}
	for i := range list {
		out = append(out, reduce(&list[i]))
	}
	return out
}

// reduceMeta returns the metadata of an object with the annotations of Sluice only.
func reduceMeta(o metav1.Object) object {
	out := object{"name": o.GetName(), "uid": o.GetUID(), "creationTimestamp": o.GetCreationTimestamp(), "generation": o.GetGeneration()}
	if o.GetNamespace() != "" {
		out["namespace"] = o.GetNamespace()
	}
	if len(o.GetLabels()) > 0 {
		out["labels"] = o.GetLabels()
	}
	if t := o.GetDeletionTimestamp(); t != nil {
		out["deletionTimestamp"] = t
	}
	annotations := map[string]string{}
	for key, value := range o.GetAnnotations() {
		if domain, _, _ := strings.Cut(key, "/"); domain == v1alpha1.GroupVersion.Group {
			annotations[key] = value
		}
	}
	if len(annotations) > 0 {
		out["annotations"] = annotations
	}
	if len(o.GetFinalizers()) > 0 {
		out["finalizers"] = o.GetFinalizers()
	}
	owners := []object{}
	for _, owner := range o.GetOwnerReferences() {
		owners = append(owners, object{"kind": owner.Kind, "name": owner.Name})
	}
	if len(owners) > 0 {
		out["ownerReferences"] = owners
	}
	return out
}

// reducePod keeps what affects policies: labels, addresses, ports and the phase.
func reducePod(p *corev1.Pod) any {
	var ports []object
	for i := range p.Spec.Containers {
		for _, port := range p.Spec.Containers[i].Ports {
			ports = append(ports, object{"name": port.Name, "containerPort": port.ContainerPort, "protocol": port.Protocol})
		}
	}
	return object{
		"metadata": reduceMeta(p),
		"spec":     object{"nodeName": p.Spec.NodeName, "hostNetwork": p.Spec.HostNetwork, "ports": ports},
		"status":   object{"phase": p.Status.Phase, "podIPs": p.Status.PodIPs, "reason": p.Status.Reason},
	}
}

// reduceOwnPod keeps more of a pod of Sluice than reducePod does.
func reduceOwnPod(p *corev1.Pod) any {
	var states []object
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		states = append(states, object{"name": s.Name, "ready": s.Ready, "restartCount": s.RestartCount, "image": s.Image, "imageID": s.ImageID, "state": s.State, "lastState": s.LastTerminationState})
	}
	return object{
		"metadata": reduceMeta(p),
		"spec":     reduceSpec(&p.Spec),
		"status":   object{"phase": p.Status.Phase, "podIPs": p.Status.PodIPs, "reason": p.Status.Reason, "message": p.Status.Message, "conditions": p.Status.Conditions, "containers": states},
	}
}

func reduceNamespace(n *corev1.Namespace) any {
	return object{"metadata": reduceMeta(n), "status": object{"phase": n.Status.Phase}}
}

func reducePolicy(p *networkingv1.NetworkPolicy) any {
	return object{"metadata": reduceMeta(p), "spec": p.Spec}
}

// reduceTier keeps the version, the spec and the status of a ClusterNetworkPolicy.
func reduceTier(p *unstructured.Unstructured) any {
	return object{"apiVersion": p.GetAPIVersion(), "metadata": reduceMeta(p), "spec": p.Object["spec"], "status": p.Object["status"]}
}

func reduceNode(n *corev1.Node) any {
	var addresses []string
	for _, a := range n.Status.Addresses {
		if _, err := netip.ParseAddr(a.Address); err == nil {
			addresses = append(addresses, a.Address)
		}
	}
	return object{
		"metadata": reduceMeta(n),
		"spec":     object{"podCIDRs": n.Spec.PodCIDRs, "taints": n.Spec.Taints, "unschedulable": n.Spec.Unschedulable},
		"status":   object{"addresses": addresses, "nodeInfo": n.Status.NodeInfo, "conditions": n.Status.Conditions},
	}
}

func reduceDeployment(d *appsv1.Deployment) any {
	return object{
		"metadata": reduceMeta(d), "status": d.Status,
		"spec": object{"replicas": d.Spec.Replicas, "strategy": d.Spec.Strategy, "template": reduceSpec(&d.Spec.Template.Spec)},
	}
}

func reduceDaemonSet(d *appsv1.DaemonSet) any {
	return object{
		"metadata": reduceMeta(d), "status": d.Status,
		"spec": object{"updateStrategy": d.Spec.UpdateStrategy, "template": reduceSpec(&d.Spec.Template.Spec)},
	}
}

func reduceEvent(e *corev1.Event) any {
	return object{
		"metadata": object{"name": e.Name}, "type": e.Type, "reason": e.Reason, "message": removeTokens(e.Message), "count": e.Count,
		"object": object{"kind": e.InvolvedObject.Kind, "name": e.InvolvedObject.Name},
		"first":  e.FirstTimestamp, "last": e.LastTimestamp, "time": e.EventTime, "source": e.Source.Component,
	}
}

// reduceSpec keeps the fields of the spec of a pod of Sluice that affect where and how it runs.
func reduceSpec(s *corev1.PodSpec) object {
	var containers []object
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		containers = append(containers, object{
			"name": c.Name, "image": c.Image, "args": reduceArguments(c.Args), "resources": c.Resources, "securityContext": c.SecurityContext,
		})
	}
	return object{
		"nodeName": s.NodeName, "nodeSelector": s.NodeSelector, "tolerations": s.Tolerations, "hostNetwork": s.HostNetwork,
		"priorityClassName": s.PriorityClassName, "serviceAccountName": s.ServiceAccountName, "containers": containers,
	}
}

// removed is the text that replaces a value that an archive must not contain.
const removed = "REMOVED"

// flags contains the flags of the agent, the dataplane and the operator whose values are kept.
var flags = []string{
	"agent", "dataplane", "operator", "node", "namespace", "image", "leader-elect", "state-dir", "metrics-address",
	"health-address", "pod-ranges", "queue-base", "queues", "failure-policy", "deny", "mark-mask", "denial-log",
	"cni-results", "hold", "prepare", "uninstall", "log-level", "log-format", "verbose",
}

// reduceArguments keeps the commands of Sluice and the known flags with their values. It
// replaces all other arguments.
func reduceArguments(arguments []string) (out []string) {
	keepNext := true
	for _, a := range arguments {
		name, _, hasValue := strings.Cut(strings.TrimLeft(a, "-"), "=")
		isFlag := strings.HasPrefix(a, "-")
		known := slices.Contains(flags, name)
		switch {
		case known, !isFlag && keepNext && len(out) > 0:
			out = append(out, a)
		default:
			out = append(out, removed)
		}
		keepNext = isFlag && known && !hasValue
	}
	return out
}
