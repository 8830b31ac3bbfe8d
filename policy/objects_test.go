package policy

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestReadPodLeavesOutInvalidFields(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	pod, errors := ReadPod(&corev1.Pod{
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
				{Name: "zero"}, {Name: "http", ContainerPort: 80}, {Name: "icmp", ContainerPort: 81, Protocol: "ICMP"},
			}}},
			InitContainers: []corev1.Container{{RestartPolicy: &always, Ports: []corev1.ContainerPort{
				{Name: "much", ContainerPort: 65536}, {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
			}}},
		},
		Status: corev1.PodStatus{
			PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "10.0.0"}, {IP: "fd00::1"}, {IP: "::ffff:10.0.0.2"}},
			HostIP: "fe80::1%eth0", HostIPs: []corev1.HostIP{{IP: "192.0.2.1"}},
		},
	})
	wantErrors := []string{
		`status.podIPs[1].ip: "10.0.0" is not an IP address`,
		`status.podIPs[3].ip: "::ffff:10.0.0.2" is an IPv4-mapped IPv6 address: write 10.0.0.2`,
		`status.hostIP: "fe80::1%eth0" has a zone: write the address without %eth0`,
		`spec.containers[0].ports[0].containerPort: 0 is not a port: want 1 to 65535`,
		`spec.containers[0].ports[2].protocol: "ICMP": want TCP, UDP or SCTP`,
		`spec.initContainers[0].ports[0].containerPort: 65536 is not a port: want 1 to 65535`,
	}
	if diff := cmp.Diff(wantErrors, texts(errors)); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if want := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}; !slices.Equal(pod.Addresses, want) {
		t.Errorf("addresses %v, want %v", pod.Addresses, want)
	}
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1")}; !slices.Equal(pod.HostAddresses, want) {
		t.Errorf("host addresses %v, want %v", pod.HostAddresses, want)
	}
	if want := (ContainerPorts{{"http", 6, 80}, {"dns", 17, 53}}); !slices.Equal(pod.Ports, want) {
		t.Errorf("ports %v, want %v", pod.Ports, want)
	}
}

func TestReadNodeLeavesOutInvalidAddresses(t *testing.T) {
	node, errors := ReadNode(&corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: "worker"}, {Type: corev1.NodeInternalIP, Address: "worker"}, {Type: corev1.NodeExternalIP, Address: "192.0.2.1"},
	}}})
	if diff := cmp.Diff([]string{`status.addresses[1].address: "worker" is not an IP address`}, texts(errors)); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1")}; !slices.Equal(node.Addresses, want) {
		t.Errorf("addresses %v, want %v", node.Addresses, want)
	}
}

func texts(errors FieldErrors) (out []string) {
	for _, e := range errors {
		out = append(out, e.Error())
	}
	return out
}
