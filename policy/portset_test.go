package policy_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
)

// TestDeclaredPorts checks that a pod has the ports of its containers, with and without names, and of
// its init containers that keep running.
func TestDeclaredPorts(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	pod, errs := policy.ReadPod(&corev1.Pod{Spec: corev1.PodSpec{
		Containers: []corev1.Container{
			{Ports: []corev1.ContainerPort{{ContainerPort: 8080}, {Name: "http", ContainerPort: 8080}, {ContainerPort: 0}}},
			{Ports: []corev1.ContainerPort{{ContainerPort: 53, Protocol: corev1.ProtocolUDP}}},
		},
		InitContainers: []corev1.Container{
			{Ports: []corev1.ContainerPort{{ContainerPort: 1}}},
			{Ports: []corev1.ContainerPort{{ContainerPort: 9090}}, RestartPolicy: &always},
		},
	}})
	var got []string
	for protocol, number := range pod.DeclaredPorts.All() {
		got = append(got, fmt.Sprintf("%s %d", protocol, number))
	}
	if text := strings.Join(got, ", "); len(errs) > 0 || text != "TCP 8080, TCP 9090, UDP 53" {
		t.Errorf("ports %s, errors %v", text, errs)
	}
	if len(pod.Ports) != 1 {
		t.Errorf("named ports %v, want one", pod.Ports)
	}
}

func TestPortSet(t *testing.T) {
	s := policy.PortSetOf(policy.ContainerPort{Protocol: flow.TCP, Number: 80}, policy.ContainerPort{Protocol: flow.UDP, Number: 53})
	for name, tt := range map[string]struct {
		entry policy.Port
		want  bool
	}{
		"number":         {policy.Port{Protocol: flow.TCP, First: 80, Last: 80}, true},
		"range":          {policy.Port{Protocol: flow.UDP, First: 1, Last: 1024}, true},
		"other protocol": {policy.Port{Protocol: flow.UDP, First: 80, Last: 80}, false},
		"other number":   {policy.Port{Protocol: flow.TCP, First: 53, Last: 53}, false},
	} {
		if got := s.ContainsAny(&tt.entry); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
	if same := policy.PortSetOf(policy.ContainerPort{Name: "dns", Protocol: flow.UDP, Number: 53}, policy.ContainerPort{Protocol: flow.TCP, Number: 80}); same != s {
		t.Error("two sets with the same ports are not equal")
	}
	if empty := policy.PortSetOf(); !empty.Empty() || s.Empty() {
		t.Error("Empty reports the wrong result")
	}
}

// TestMemoryOfDeclaredPorts checks that declared ports without names do not take separate memory for
// each pod.
func TestMemoryOfDeclaredPorts(t *testing.T) {
	without, with := memoryOfPods(), memoryOfPods(corev1.ContainerPort{ContainerPort: 8080}, corev1.ContainerPort{ContainerPort: 9090})
	t.Logf("bytes for each pod: %d without ports, %d with two ports", without, with)
	// Separate memory would take at least 16 bytes. The rest of the process allocates a few bytes, too.
	if with > without+8 {
		t.Errorf("%d bytes for each pod with two ports, %d without", with, without)
	}
}

// memoryOfPods returns the number of bytes that each of many pods with the given ports takes.
func memoryOfPods(ports ...corev1.ContainerPort) uint64 {
	const count = 20_000
	in := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: ports}}}}
	pods := make([]*policy.Pod, count)
	before := heap()
	for i := range pods {
		pods[i], _ = policy.ReadPod(in)
	}
	after := heap()
	runtime.KeepAlive(pods)
	return (after - before) / count
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
