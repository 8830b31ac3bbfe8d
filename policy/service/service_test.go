package service_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/service"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestRead(t *testing.T) {
	vip, proxy := corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeProxy
	s, errs := service.Read(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1", "fd00::1", "x"}, ExternalIPs: []string{"192.0.2.1"},
			Selector: map[string]string{"app": "db"},
			Ports: []corev1.ServicePort{
				{Port: 80},
				{Name: "a", Port: 81, TargetPort: intstr.FromInt32(8080), Protocol: "UDP"},
				{Name: "b", Port: 82, TargetPort: intstr.FromString("http"), NodePort: 30082},
				{Port: 0},
				{Port: 83, Protocol: "ICMP"},
			},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
			{IP: "192.0.2.2", IPMode: &vip}, {IP: "192.0.2.3", IPMode: &proxy}, {Hostname: "lb.example"},
		}}},
	})
	if diff := cmp.Diff([]netip.Addr{addr("10.96.0.1"), addr("fd00::1"), addr("192.0.2.1"), addr("192.0.2.2")}, s.Addresses, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if len(s.ClusterIPs) != 2 || s.ClusterIPs[1] != addr("fd00::1") {
		t.Errorf("cluster IPs %v, want two", s.ClusterIPs)
	}
	want := []service.Port{
		{Protocol: flow.TCP, Number: 80, Target: 80},
		{Name: "a", Protocol: flow.UDP, Number: 81, Target: 8080},
		{Name: "b", Protocol: flow.TCP, Number: 82, NodePort: 30082, TargetName: "http"},
	}
	if diff := cmp.Diff(want, s.Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if len(errs) != 3 {
		t.Errorf("errors %v, want three", errs)
	}
}

func TestSelects(t *testing.T) {
	s, _ := service.Read(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "db"}}})
	pod := policy.Pod{Namespace: "default", Labels: label.Of(map[string]string{"app": "db", "x": "y"})}
	other, finished, host := pod, pod, pod
	other.Namespace, finished.Finished, host.HostNetwork = "shop", true, true
	for name, tt := range map[string]struct {
		pod  policy.Pod
		want bool
	}{"labels match": {pod, true}, "another namespace": {other, false}, "finished": {finished, false}, "host network": {host, true}} {
		if got := s.Selects(&tt.pod); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
	none, _ := service.Read(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api"}})
	if none.Selects(&pod) {
		t.Error("a Service without a selector selects a pod")
	}
}

func TestReadSlice(t *testing.T) {
	no, port, name := false, int32(8080), "http"
	s, errs := service.ReadSlice(&discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-x", Labels: map[string]string{discoveryv1.LabelServiceName: "db"}},
		Ports:      []discoveryv1.EndpointPort{{Name: &name, Port: &port}, {}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.0.0.1"}}, {Addresses: []string{"10.0.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}}, {Addresses: []string{"x"}},
		},
	})
	want := &service.Slice{
		Namespace: "shop", Service: "db", Ports: []service.SlicePort{{Name: "http", Protocol: flow.TCP, Number: 8080}},
		Endpoints: []service.Endpoint{{Address: addr("10.0.0.1"), Ready: true}, {Address: addr("10.0.0.2")}},
	}
	if diff := cmp.Diff(want, s, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || len(errs) != 1 {
		t.Errorf("errors %v, slice (-want +got):\n%s", errs, diff)
	}
}
