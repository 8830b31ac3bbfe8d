package compile

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/read"
)

func selecting(pairs ...string) *metav1.LabelSelector {
	s := &metav1.LabelSelector{MatchLabels: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		s.MatchLabels[pairs[i]] = pairs[i+1]
	}
	return s
}

// ingressFrom returns a policy that isolates the pods app=db in namespace shop and allows
// the peers to connect to TCP port 5432.
func ingressFrom(name string, peers ...networkingv1.NetworkPolicyPeer) *networkingv1.NetworkPolicy {
	port := intstr.FromInt32(5432)
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: *selecting("app", "db"),
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: peers, Ports: []networkingv1.NetworkPolicyPort{{Port: &port}}}},
		},
	}
}

func testPod(name, node, addr string, pairs ...string) policy.Pod {
	return policy.Pod{
		Namespace: "shop", Name: name, Node: node, Running: true,
		Labels:    label.Of(selecting(pairs...).MatchLabels),
		Addresses: []netip.Addr{netip.MustParseAddr(addr)},
	}
}

// upsert adds a copy of the pod to the snapshot. The test can then change its own pod without
// changing the snapshot.
func upsert(s *policy.Snapshot, pod policy.Pod) { s.UpsertPod(&pod) }

func upsertPolicy(s *policy.Snapshot, in *networkingv1.NetworkPolicy) {
	p, _ := read.NetworkPolicy(in)
	s.UpsertPolicy(p)
}

// shop returns a cluster with one local database pod and 500 remote pods. Half of the remote
// pods are clients of the database.
func shop() (*policy.Snapshot, *Compiler) {
	s := policy.NewSnapshot()
	s.UpsertNamespace(policy.Namespace{Name: "shop"})
	upsertPolicy(s, ingressFrom("db", networkingv1.NetworkPolicyPeer{PodSelector: selecting("app", "web")}))
	upsert(s, testPod("db-0", "n1", "10.0.0.1", "app", "db"))
	for i := range 500 {
		app := "web"
		if i%2 == 1 {
			app = "other"
		}
		upsert(s, testPod(fmt.Sprintf("pod-%d", i), "n2", fmt.Sprintf("10.0.%d.%d", 1+i/200, 1+i%200), "app", app))
	}
	return s, New(s, "n1")
}

func TestDeltaHasOnlyWhatDependsOnTheChange(t *testing.T) {
	s, c := shop()
	first := c.Delta()
	if got, want := len(first.Addresses), 251; got != want {
		t.Errorf("first delta: %d addresses, want %d: the local pod and the peers it can see", got, want)
	}
	if len(first.Pods) != 1 || len(first.Programs) != 1 {
		t.Errorf("first delta: %d pods and %d programs, want one of each", len(first.Pods), len(first.Programs))
	}
	web := first.Programs[0].Program.Rules[0].Matches[0].Classes[0]

	tests := []struct {
		name   string
		change func()
		want   rule.Delta
	}{
		{"nothing", func() {}, rule.Delta{}},
		{"a state that means the same", func() { upsert(s, testPod("pod-0", "n2", "10.0.1.1", "app", "web")) }, rule.Delta{}},
		{"a label that no rule selects", func() { upsert(s, testPod("pod-0", "n2", "10.0.1.1", "app", "web", "rev", "2")) }, rule.Delta{}},
		{
			"a pod becomes a peer",
			func() { upsert(s, testPod("pod-1", "n2", "10.0.1.2", "app", "web")) },
			rule.Delta{Addresses: []rule.AddressChange{{Addr: netip.MustParseAddr("10.0.1.2"), Owner: rule.Owner{Kind: rule.RemotePod, Class: web}}}},
		},
		{
			"a peer is deleted",
			func() { s.DeletePod("shop", "pod-2") },
			rule.Delta{Addresses: []rule.AddressChange{{Addr: netip.MustParseAddr("10.0.1.3")}}},
		},
		{
			"a policy that selects no local pod",
			func() {
				p := ingressFrom("elsewhere", networkingv1.NetworkPolicyPeer{PodSelector: selecting("app", "other")})
				p.Spec.PodSelector = *selecting("app", "cache")
				upsertPolicy(s, p)
			},
			rule.Delta{},
		},
		{"another namespace's labels", func() {
			s.UpsertNamespace(policy.Namespace{Name: "lab", Labels: label.Of(map[string]string{"a": "b"})})
		}, rule.Delta{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.change()
			if diff := cmp.Diff(tt.want, c.Delta(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("delta (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodsWithDifferentNamedPortsHaveDifferentClasses(t *testing.T) {
	s := policy.NewSnapshot()
	name := intstr.FromString("http")
	p := ingressFrom("web")
	p.Spec = networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		Egress: []networkingv1.NetworkPolicyEgressRule{{
			To:    []networkingv1.NetworkPolicyPeer{{PodSelector: selecting("app", "web")}},
			Ports: []networkingv1.NetworkPolicyPort{{Port: &name}},
		}},
	}
	upsertPolicy(s, p)
	upsert(s, testPod("client", "n1", "10.0.0.1"))
	for i, number := range []uint16{8080, 8081, 0} {
		w := testPod(fmt.Sprintf("web-%d", i), "n2", fmt.Sprintf("10.0.1.%d", i), "app", "web")
		if number != 0 {
			w.Ports = []policy.ContainerPort{{Name: "http", Protocol: flow.TCP, Number: number}}
		}
		upsert(s, w)
	}
	d := New(s, "n1").Delta()
	if len(d.Programs) != 1 {
		t.Fatalf("%d programs, want 1", len(d.Programs))
	}
	got := map[uint16]int{}
	for _, m := range d.Programs[0].Program.Rules[0].Matches {
		got[m.Ports[0].First] = len(m.Classes)
	}
	if diff := cmp.Diff(map[uint16]int{8080: 1, 8081: 1}, got); diff != "" {
		t.Errorf("classes by port (-want +got):\n%s", diff)
	}
}

func TestCompilerOfAnEmptiedClusterIsEmpty(t *testing.T) {
	s, c := shop()
	named := intstr.FromString("http")
	p := ingressFrom("block")
	p.Spec = networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		Egress: []networkingv1.NetworkPolicyEgressRule{{
			To:    []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.1.0/24"}}, {NamespaceSelector: selecting()}},
			Ports: []networkingv1.NetworkPolicyPort{{Port: &named}},
		}},
	}
	upsertPolicy(s, p)
	w := testPod("named", "n2", "10.0.1.250", "app", "named")
	w.Ports = []policy.ContainerPort{{Name: "http", Protocol: flow.TCP, Number: 80}}
	upsert(s, w)
	s.UpsertNode(policy.Node{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
	if len(c.Delta().Addresses) == 0 || len(c.byAddress) == 0 {
		t.Fatal("the cluster has no address with its own class")
	}
	for _, p := range s.Pods() {
		s.DeletePod(p.Namespace, p.Name)
	}
	for _, p := range s.Policies() {
		s.DeletePolicy(p.Scope, p.Name)
	}
	s.DeleteNamespace("shop")
	s.DeleteNode("n1")
	c.Delta()
	left := map[string]int{
		"namespaces": len(s.TrackedNamespaces()), "pods": len(c.pods), "policies": len(c.policies), "programs": len(c.programs),
		"peers": len(c.peers.all), "peers by namespace": len(c.peers.in), "peers across namespaces": len(c.peers.across), "peers with a block": len(c.peers.blocks),
		"states": len(c.states), "classes": len(c.classes), "classes by address": len(c.byAddress), "sent owners": len(c.sentOwners),
	}
	for what, n := range left {
		if n != 0 {
			t.Errorf("%d %s left", n, what)
		}
	}
}
