package findings

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/policyapi"
)

// TestLargeCluster measures the checks of a cluster with 100,000 pods, 10,000 policies and 1,000
// namespaces. All policies must be checked within `burst`, the time that checks may take before
// they are limited. The check after one change must be so short that the findings are up to date
// within 10 s.
func TestLargeCluster(t *testing.T) {
	const policies = 10_000
	namespaces := largeCluster(policies)
	f := New(namespaces, logr.Discard())
	var total, longest time.Duration
	reported := 0
	before := heap()
	for name := range namespaces {
		began := time.Now()
		different := f.check(name)
		took := time.Since(began)
		total, reported = total+took, reported+len(different)
		// A single check can take long because another process uses the processor.
		began = time.Now()
		f.check(name)
		longest = max(longest, min(took, time.Since(began)))
	}
	t.Logf("%d namespaces, %d policies: %s in total, at most %s for a namespace, %d KiB for the findings", len(namespaces), reported, total, longest, (heap()-before)>>10)
	if total > burst || longest*namespaceShare > 9*time.Second {
		t.Errorf("%s in total and %s for a namespace, want at most %s and %s", total, longest, burst, 9*time.Second/namespaceShare)
	}
	if reported < policies {
		t.Errorf("%d policies were checked, want %d", reported, policies)
	}
	runtime.KeepAlive(f)
}

// TestLargePolicy checks that reading and checking a policy of 630 KB takes at most 2 s and
// 50 MiB. Without limits in lint, it took 40 s and 2 GB.
func TestLargePolicy(t *testing.T) {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "large"}}
	var peers []networkingv1.NetworkPolicyPeer
	for i := range 20_000 {
		peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{
			CIDR: "10.0.0.0/16", Except: []string{fmt.Sprintf("10.0.%d.%d/32", i/256, i%256)},
		}})
	}
	np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers}}
	var in lint.Namespace
	for i := range 5_000 {
		in.Pods = append(in.Pods, &policy.Pod{
			Namespace: "shop", Name: fmt.Sprintf("web-%d", i), Running: true,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})},
		})
	}
	f := New(reading{func() lint.Namespace {
		p, _ := read.NetworkPolicy(np)
		in.Policies = []*policy.Policy{p}
		return in
	}}, logr.Discard())
	var different []types.NamespacedName
	took, memory := measure(func() { different = f.check("shop") })
	t.Logf("%d KB: %s, %d KiB allocated in total", np.Size()>>10, took, memory>>10)
	if len(different) != 1 {
		t.Fatalf("policies %v, want one policy", different)
	}
	if took > 2*time.Second || memory>>20 > 50 {
		t.Errorf("%s and %d MiB, want at most 2 s and 50 MiB", took, memory>>20)
	}
}

// reading is a Source that reads the objects again for each check.
type reading struct{ read func() lint.Namespace }

func (r reading) Contents(string) lint.Namespace { return r.read() }
func (reading) All() lint.Cluster                { return lint.Cluster{} }

// TestClusterNetworkPoliciesInALargeCluster measures a check of 200 ClusterNetworkPolicies in a
// cluster with 100,000 pods. The check must be complete. Checks may use one percent of a
// processor. Therefore, after a change, the findings are outdated for at most 100 times the
// duration of a check.
func TestClusterNetworkPoliciesInALargeCluster(t *testing.T) {
	namespaces := largeCluster(10_000)
	var all lint.Cluster
	for _, objects := range namespaces {
		all.Namespaces = append(all.Namespaces, *objects)
	}
	for i := range 50 {
		for name, spec := range administration {
			object := policyapi.Policy(t, policyapi.V1beta1, fmt.Sprint(name, "-", i), fmt.Sprintf(spec, 10*i, i))
			p, errs := read.ClusterNetworkPolicy(object)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			all.Policies = append(all.Policies, p)
		}
	}
	var found []lint.Finding
	before := processorTime(t)
	_, memory := measure(func() {
		var err error
		if found, err = lint.RunTiers(all); err != nil {
			t.Fatal(err)
		}
	})
	took := processorTime(t) - before
	t.Logf("%d policies, %d findings: %s, %d KiB allocated in total", len(all.Policies), len(found), took, memory>>10)
	checks := map[string]int{}
	for _, f := range found {
		checks[f.Check]++
	}
	if checks["too-large"] > 0 || checks["no-pod-selected"] == 0 {
		t.Errorf("findings by check: %v, want complete checks", checks)
	}
	// The limit is several times the duration on a slow processor. It rejects checks whose time grows
	// with the product of pods and policies. These checks take minutes.
	if took > 10*time.Second || memory>>20 > 100 {
		t.Errorf("%s and %d MiB, want at most 10 s and 100 MiB", took, memory>>20)
	}
}

// administration contains policy specs like those of a cluster administrator. Each spec is a
// format string. Its first argument is the priority of the policy, and its second argument is
// the number of a team.
var administration = map[string]string{
	"monitoring": `{tier: Admin, priority: %d, subject: {namespaces: {matchLabels: {team: team-%d}}}, ingress: [
		{action: Accept, from: [{namespaces: {matchLabels: {role: monitoring}}}], protocols: [{destinationNamedPort: metrics}]}]}`,
	"metadata": `{tier: Admin, priority: %d, subject: {namespaces: {matchExpressions: [{key: team, operator: NotIn, values: [team-%d]}]}}, egress: [
		{action: Pass, to: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: kube-dns}}}}]},
		{action: Deny, to: [{networks: [203.0.0.0/10, 169.254.169.254/32]}, {nodes: {}}]}]}`,
	"production": `{tier: Admin, priority: %d, subject: {namespaces: {matchLabels: {env: prod, team: team-%d}}}, ingress: [
		{action: Deny, from: [{namespaces: {matchLabels: {env: dev}}}]},
		{action: Accept, from: [{namespaces: {matchLabels: {role: ingress}}}], protocols: [{tcp: {destinationPort: {range: {start: 8000, end: 8999}}}}]}]}`,
	"teams": `{tier: Baseline, priority: %d, subject: {namespaces: {matchExpressions: [{key: team, operator: NotIn, values: [team-%d]}]}}, ingress: [
		{action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {tier: api}}}}], protocols: [{destinationNamedPort: postgres}]},
		{action: Deny, from: [{namespaces: {}}]}]}`,
}

// largeNamespaces is a Source with the objects of each namespace.
type largeNamespaces map[string]*lint.Namespace

func (n largeNamespaces) Contents(namespace string) lint.Namespace { return *n[namespace] }
func (largeNamespaces) All() lint.Cluster                          { return lint.Cluster{} }

// largeCluster returns the namespaces of a cluster with 100,000 pods.
func largeCluster(policies int) largeNamespaces {
	objects := cluster.NewRealistic(1, cluster.Size{Pods: 100_000, Policies: policies})
	out := largeNamespaces{}
	for n := range objects.Namespaces() {
		read := policy.ReadNamespace(n)
		out[n.Name] = &lint.Namespace{Object: &read}
	}
	for p := range objects.Pods() {
		pod, _ := policy.ReadPod(p)
		out[pod.Namespace].Pods = append(out[pod.Namespace].Pods, pod)
	}
	for _, np := range objects.Policies() {
		p, _ := read.NetworkPolicy(np)
		out[p.Scope].Policies = append(out[p.Scope].Policies, p)
	}
	return out
}

// processorTime returns the processor time that this process has used. Unlike the elapsed time, it
// does not depend on other processes.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// measure returns the time that a function takes, and the memory in bytes that it allocates in
// total.
func measure(f func()) (took time.Duration, memory uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	f()
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	return took, after.TotalAlloc - before.TotalAlloc
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
