package findings

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/go-logr/logr"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/cluster"
)

// TestLargeCluster measures the checks of a cluster with 100,000 pods, 10,000 policies and 1,000
// namespaces. All policies must be checked within `burst`, the time that checks may take before
// they are limited. The check after one change must be so short that the findings are up to date
// within 10 s.
func TestLargeCluster(t *testing.T) {
	const pods, policies = 100_000, 10_000
	objects := cluster.NewRealistic(1, cluster.Size{Pods: pods, Policies: policies})
	namespaces := map[string]*lint.Namespace{}
	for n := range objects.Namespaces() {
		read := policy.ReadNamespace(n)
		namespaces[n.Name] = &lint.Namespace{Object: &read}
	}
	for p := range objects.Pods() {
		pod, _ := policy.ReadPod(p)
		namespaces[pod.Namespace].Pods = append(namespaces[pod.Namespace].Pods, pod)
	}
	for _, np := range objects.Policies() {
		p, _ := read.NetworkPolicy(np)
		namespaces[p.Scope].Policies = append(namespaces[p.Scope].Policies, p)
	}
	f := New(func(_ context.Context, namespace string) (lint.Namespace, error) { return *namespaces[namespace], nil }, logr.Discard())
	var total, longest time.Duration
	reported := 0
	before := heap()
	for name := range namespaces {
		began := time.Now()
		different, err := f.check(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		total, reported = total+took, reported+len(different)
		// A single check can take long because another process uses the processor.
		began = time.Now()
		if _, err := f.check(t.Context(), name); err != nil {
			t.Fatal(err)
		}
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

// TestLargePolicy checks that a policy of 630 KB needs at most 2 s and 50 MiB from the object to
// the findings. Without a limit, it took 40 s and 2 GB.
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
	f := New(func(context.Context, string) (lint.Namespace, error) {
		p, _ := read.NetworkPolicy(np)
		in.Policies = []*policy.Policy{p}
		return in, nil
	}, logr.Discard())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	different, err := f.check(t.Context(), "shop")
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	t.Logf("%d KB: %s, %d KiB allocated in total", np.Size()>>10, took, (after.TotalAlloc-before.TotalAlloc)>>10)
	if err != nil || len(different) != 1 {
		t.Fatalf("policies %v, error %v, want one policy", different, err)
	}
	if memory := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 2*time.Second || memory > 50 {
		t.Errorf("%s and %d MiB, want at most 2 s and 50 MiB", took, memory)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
