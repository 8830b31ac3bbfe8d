package lint_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/policy/read"
)

// These are the limits for one large policy. maxMemory limits the sum of all allocations. The
// memory that is in use at the same time is smaller.
const (
	maxTime   = 2 * time.Second
	maxMemory = 50 << 20
)

const (
	largePods  = 5_000
	largePeers = 20_000
)

// largePolicies returns NetworkPolicies of about 600 KB each, which is the maximum size that the
// API server allows. For these policies, simple checks need much time or memory.
var largePolicies = sync.OnceValue(func() map[string]*networkingv1.NetworkPolicy {
	out := map[string]*networkingv1.NetworkPolicy{}
	add := func(name string, spec networkingv1.NetworkPolicySpec) {
		spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
		out[name] = &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: spec}
	}
	named := []networkingv1.NetworkPolicyPort{{Port: &intstr.IntOrString{Type: intstr.String, StrVal: "http"}}}
	var blocks, selectors, pairs []networkingv1.NetworkPolicyPeer
	for i := range largePeers {
		blocks = append(blocks, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{
			CIDR: "10.0.0.0/16", Except: []string{fmt.Sprintf("10.0.%d.%d/32", i/256%256, i%256)},
		}})
		one := &metav1.LabelSelector{MatchLabels: map[string]string{"a": fmt.Sprint(i)}}
		selectors = append(selectors, networkingv1.NetworkPolicyPeer{PodSelector: one})
		pairs = append(pairs, networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{}}, networkingv1.NetworkPolicyPeer{PodSelector: one})
	}
	both := func(peers []networkingv1.NetworkPolicyPeer) networkingv1.NetworkPolicySpec {
		return networkingv1.NetworkPolicySpec{
			Ingress: []networkingv1.NetworkPolicyIngressRule{{From: peers[:len(peers)/2], Ports: named}},
			Egress:  []networkingv1.NetworkPolicyEgressRule{{To: peers[len(peers)/2:], Ports: named}},
		}
	}
	add("blocks", both(blocks))
	add("selectors", both(selectors))
	add("pairs", both(pairs))

	excepts := &networkingv1.IPBlock{CIDR: "10.0.0.0/8"}
	values := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "n", Operator: metav1.LabelSelectorOpNotIn}}}
	keys := &metav1.LabelSelector{}
	var ports []networkingv1.NetworkPolicyPort
	for i := range largePeers {
		excepts.Except = append(excepts.Except, fmt.Sprintf("10.%d.%d.0/24", i/256%256, i%256))
		values.MatchExpressions[0].Values = append(values.MatchExpressions[0].Values, fmt.Sprint("x", i))
		keys.MatchExpressions = append(keys.MatchExpressions, metav1.LabelSelectorRequirement{Key: fmt.Sprint("x", i), Operator: metav1.LabelSelectorOpDoesNotExist})
		ports = append(ports, networkingv1.NetworkPolicyPort{Port: &intstr.IntOrString{Type: intstr.String, StrVal: fmt.Sprint("p", i)}})
	}
	add("excepts", both([]networkingv1.NetworkPolicyPeer{{IPBlock: excepts}, {IPBlock: excepts}}))
	for name, selector := range map[string]*metav1.LabelSelector{"values": values, "keys": keys} {
		spec := both([]networkingv1.NetworkPolicyPeer{{PodSelector: selector}, {PodSelector: selector}})
		spec.PodSelector = *selector
		add(name, spec)
	}
	add("ports", networkingv1.NetworkPolicySpec{
		Ingress: []networkingv1.NetworkPolicyIngressRule{{Ports: ports}},
		Egress:  []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}, Ports: ports}},
	})
	spec := networkingv1.NetworkPolicySpec{}
	for range largePeers {
		spec.Ingress = append(spec.Ingress, networkingv1.NetworkPolicyIngressRule{})
		spec.Egress = append(spec.Egress, networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{}}})
	}
	add("rules", spec)
	return out
})

// largeNamespace returns pods that all have different labels.
var largeNamespace = sync.OnceValue(func() []*policy.Pod {
	var out []*policy.Pod
	for i := range largePods {
		name := fmt.Sprintf("web-%d", i)
		out = append(out, &policy.Pod{
			Namespace: "shop", Name: name, Running: true,
			Labels:    label.Of(map[string]string{"app": "web", "statefulset.kubernetes.io/pod-name": name, "n": fmt.Sprint(i)}),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})},
			Ports:     policy.ContainerPorts{{Name: "metrics", Protocol: flow.TCP, Number: 9090}},
		})
	}
	return out
})

// TestLargePolicy checks that the time and the memory for a policy are limited, however large the
// policy is. Without the limits, the policy with 20,000 blocks took 40 s and 2 GB.
func TestLargePolicy(t *testing.T) {
	pods := largeNamespace()
	for name, np := range largePolicies() {
		t.Run(name, func(t *testing.T) {
			var findings []lint.Finding
			check := func() {
				p, _ := read.NetworkPolicy(np)
				findings, _ = lint.RunNamespace(lint.Namespace{Pods: pods, Policies: []*policy.Policy{p}})
			}
			took, memory := measure(check)
			t.Logf("%d KB: %d findings, %s, %d KiB", np.Size()>>10, len(findings), took, memory>>10)
			if !slowed && (took > maxTime || memory > maxMemory) {
				t.Errorf("%s and %d MiB, want at most %s and %d MiB", took, memory>>20, maxTime, maxMemory>>20)
			}
			count := map[string]int{}
			for _, f := range findings {
				if count[f.Check]++; count[f.Check] > 3 {
					t.Fatalf("more than 3 findings of %s", f.Check)
				}
			}
			if len(findings) == 0 || len(findings[0].Message) > 2000 {
				t.Errorf("findings %+v, want at least one, with a short message", findings)
			}
		})
	}
}

// TestLargePolicyIsReported checks that a finding names the checks that were too expensive.
func TestLargePolicyIsReported(t *testing.T) {
	p, _ := read.NetworkPolicy(largePolicies()["selectors"])
	small := &policy.Policy{Name: "small", Scope: "shop", Subject: policy.PodSet{Namespace: "shop"}}
	findings, err := lint.RunNamespace(lint.Namespace{Pods: largeNamespace(), Policies: []*policy.Policy{p, small}})
	if err != nil {
		t.Fatal(err)
	}
	want := lint.Finding{
		Severity: lint.Note, Check: "too-large", Policy: "shop/selectors", Namespace: "shop", Field: "spec",
		Message: "the policy is too large to check: not completed: no-peer-matched, no-such-port, port-of-some, no-dns",
		Fix:     "split the policy into smaller policies, or run sluice lint, which takes more time",
	}
	i := slices.IndexFunc(findings, func(f lint.Finding) bool { return f.Check == "too-large" })
	if i < 0 {
		t.Fatalf("findings %+v, want one of too-large", findings)
	}
	if got := findings[i]; got.Message != want.Message || got.Fix != want.Fix || got.Policy != want.Policy || got.Severity != want.Severity || got.Field != want.Field {
		t.Errorf("finding %+v, want %+v", got, want)
	}
	if slices.ContainsFunc(findings, func(f lint.Finding) bool { return f.Policy == "shop/small" }) {
		t.Errorf("findings %+v, want none about the small policy", findings)
	}
}

// TestFurtherPlacesAreCounted checks that a check keeps three findings about a policy and counts
// the others.
func TestFurtherPlacesAreCounted(t *testing.T) {
	p, _ := read.NetworkPolicy(largePolicies()["blocks"])
	findings, err := lint.RunNamespace(lint.Namespace{Pods: largeNamespace(), Policies: []*policy.Policy{p}})
	if err != nil {
		t.Fatal(err)
	}
	var more []int
	for _, f := range findings {
		if f.Check == "block-of-pod" {
			more = append(more, f.More)
		}
	}
	if !slices.Equal(more, []int{0, 0, largePeers - 3}) {
		t.Errorf("further places %v, want %d after the third", more, largePeers-3)
	}
}

// TestManyLargePolicies checks that the time for all policies of a namespace together is limited.
func TestManyLargePolicies(t *testing.T) {
	pods := largeNamespace()
	var policies []*policy.Policy
	for i := range 20 {
		p, _ := read.NetworkPolicy(largePolicies()["selectors"])
		p.Name = fmt.Sprint("selectors-", i)
		policies = append(policies, p)
	}
	var err error
	took, _ := measure(func() { _, err = lint.RunNamespace(lint.Namespace{Pods: pods, Policies: policies}) })
	if err != nil {
		t.Fatal(err)
	}
	if t.Logf("%s", took); took > maxTime {
		t.Errorf("%s, want at most %s", took, maxTime)
	}
}

// TestLargePolicyOnTheCommandLine checks that a large policy can also be checked together with
// all other objects of the cluster within seconds.
func TestLargePolicyOnTheCommandLine(t *testing.T) {
	for _, name := range []string{"blocks", "keys"} {
		t.Run(name, func(t *testing.T) {
			p, _ := read.NetworkPolicy(largePolicies()[name])
			s := policy.NewSnapshot()
			for _, pod := range largeNamespace() {
				pod := *pod
				s.UpsertPod(&pod)
			}
			s.Load(policy.Objects{Policies: []*policy.Policy{p}, Namespaces: []policy.Namespace{{Name: "shop"}}})
			took, memory := measure(func() { lint.Run(lint.Input{Snapshot: s}) })
			if t.Logf("%s, %d KiB", took, memory>>10); !slowed && took > 10*time.Second {
				t.Errorf("%s, want at most 10 s", took)
			}
		})
	}
}

// measure returns the time that a function takes, and the memory that it allocates in total. It
// calls the function up to three times and returns the shortest time, because another process may
// use the processor.
func measure(f func()) (took time.Duration, memory uint64) {
	for range 3 {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		f()
		once := time.Since(began)
		runtime.ReadMemStats(&after)
		if memory = after.TotalAlloc - before.TotalAlloc; took == 0 || once < took {
			took = once
		}
		if took < maxTime {
			break
		}
	}
	return took, memory
}
