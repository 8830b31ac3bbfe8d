package reference

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/test/cluster"
)

// owner returns the pod to which an address belongs, or nil. An address never belongs to a
// hostNetwork pod (S09) or to a finished pod (S10). If several pods have the address, it belongs to
// the first pod in this order: running pods before other pods, then newer pods before older pods,
// then greater names before smaller names.
func owner(pods []*corev1.Pod, address netip.Addr) *corev1.Pod {
	var best *corev1.Pod
	for _, pod := range pods {
		if pod.Spec.HostNetwork || finished(pod) || !hasAddress(podAddresses(pod), address) {
			continue
		}
		if best == nil || before(pod, best) {
			best = pod
		}
	}
	return best
}

func before(a, b *corev1.Pod) bool {
	aRuns, bRuns := a.Status.Phase == corev1.PodRunning, b.Status.Phase == corev1.PodRunning
	if aRuns != bRuns {
		return aRuns
	}
	if !a.CreationTimestamp.Time.Equal(b.CreationTimestamp.Time) {
		return a.CreationTimestamp.Time.After(b.CreationTimestamp.Time)
	}
	return namespaceOf(a)+"/"+a.Name > namespaceOf(b)+"/"+b.Name
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// isAddressOfNode reports whether an address is an address of the node. The addresses of a node
// are the addresses in the Node object, the addresses of unfinished hostNetwork pods on the node,
// and the host addresses of all pods on the node. Ingress from these addresses to pods of the node
// is always allowed (S40). If a pod is not bound to a node, the name of the node is "", and
// isAddressOfNode returns false.
func isAddressOfNode(objects cluster.Objects, address netip.Addr, node string) bool {
	if node == "" {
		return false
	}
	for _, object := range objects.Nodes {
		if object.Name != node {
			continue
		}
		if hasAddress(nodeAddresses(object), address) {
			return true
		}
	}
	for _, pod := range objects.Pods {
		if pod.Spec.NodeName != node {
			continue
		}
		if hasAddress(hostAddresses(pod), address) || pod.Spec.HostNetwork && !finished(pod) && hasAddress(podAddresses(pod), address) {
			return true
		}
	}
	return false
}

func podAddresses(pod *corev1.Pod) []string {
	addresses := []string{pod.Status.PodIP}
	for _, entry := range pod.Status.PodIPs {
		addresses = append(addresses, entry.IP)
	}
	return addresses
}

func hostAddresses(pod *corev1.Pod) []string {
	addresses := []string{pod.Status.HostIP}
	for _, entry := range pod.Status.HostIPs {
		addresses = append(addresses, entry.IP)
	}
	return addresses
}

func hasAddress(list []string, address netip.Addr) bool {
	for _, text := range list {
		if parsed, err := netip.ParseAddr(text); err == nil && parsed == address {
			return true
		}
	}
	return false
}

// containerPort returns the number of a named port (S33). If the pod has no port with this name
// and protocol, it returns 0.
func containerPort(pod *corev1.Pod, name string, protocol corev1.Protocol) int32 {
	containers := append([]corev1.Container{}, pod.Spec.Containers...)
	for _, container := range pod.Spec.InitContainers {
		if container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, container)
		}
	}
	for _, container := range containers {
		for _, port := range container.Ports {
			if port.Name == name && (port.Protocol == protocol || port.Protocol == "" && protocol == corev1.ProtocolTCP) {
				return port.ContainerPort
			}
		}
	}
	return 0
}
