package topology

import (
	"bytes"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/policy"
)

// Manifests returns the objects in a snapshot as YAML. The policies come first. Pods have the
// addresses that the demo assigned to them. Manifests omits fields that do not affect
// policies.
func Manifests(s *policy.Snapshot) ([]byte, error) {
	var objects []any
	for _, p := range s.Policies() {
		objects = append(objects, policyObject(p))
	}
	for _, in := range s.Namespaces() {
		objects = append(objects, &corev1.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: in.Name, Labels: in.Labels.Map()},
		})
	}
	for _, in := range s.Pods() {
		objects = append(objects, podObject(&in))
	}
	for _, in := range s.Nodes() {
		node := &corev1.Node{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}, ObjectMeta: metav1.ObjectMeta{Name: in.Name}}
		for _, a := range in.Addresses {
			node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
		}
		objects = append(objects, node)
	}
	var out bytes.Buffer
	for _, o := range objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("writing manifests: %w", err)
		}
		fmt.Fprintf(&out, "---\n%s", text)
	}
	return out.Bytes(), nil
}

func podObject(in *policy.Pod) *corev1.Pod {
	pod := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: in.Namespace, Name: in.Name, Labels: in.Labels.Map(), CreationTimestamp: metav1.NewTime(in.Created)},
		Spec:       corev1.PodSpec{NodeName: in.Node},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: podIPs(in.Addresses)},
	}
	container := corev1.Container{Name: "main"}
	for _, p := range in.Ports {
		container.Ports = append(container.Ports, corev1.ContainerPort{
			Name: p.Name, Protocol: corev1.Protocol(p.Protocol.String()), ContainerPort: int32(p.Number),
		})
	}
	pod.Spec.Containers = []corev1.Container{container}
	return pod
}

func podIPs(addresses []netip.Addr) []corev1.PodIP {
	var out []corev1.PodIP
	for _, a := range addresses {
		out = append(out, corev1.PodIP{IP: a.String()})
	}
	return out
}
