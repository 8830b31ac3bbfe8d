package policy

import (
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestWhatCannotBeReadIsLeftOut: an address or a port that cannot be read takes
// nothing else of its object with it, and the error names the first of them.
func TestWhatCannotBeReadIsLeftOut(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	pod, err := PodOf(&corev1.Pod{
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
	if want := `status.podIPs[1].ip: "10.0.0" is not an IP address`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if want := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}; !slices.Equal(pod.Addresses, want) {
		t.Errorf("addresses %v, want %v", pod.Addresses, want)
	}
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1")}; !slices.Equal(pod.HostAddresses, want) {
		t.Errorf("host addresses %v, want %v", pod.HostAddresses, want)
	}
	if want := []ContainerPort{{"http", 6, 80}, {"dns", 17, 53}}; !slices.Equal(pod.Ports, want) {
		t.Errorf("ports %v, want %v", pod.Ports, want)
	}

	node, err := NodeOf(&corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: "worker"}, {Type: corev1.NodeInternalIP, Address: "worker"}, {Type: corev1.NodeExternalIP, Address: "192.0.2.1"},
	}}})
	if want := `status.addresses[1].address: "worker" is not an IP address`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1")}; !slices.Equal(node.Addresses, want) {
		t.Errorf("addresses %v, want %v", node.Addresses, want)
	}
}
