package policy

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// testPod returns a running pod with the address 10.0.0.1.
func testPod(name, node string) Pod {
	return Pod{Namespace: "shop", Name: name, Node: node, Running: true, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
}

// upsert adds a copy of the pod to the snapshot, so that the test can still change its own
// pod.
func upsert(s *Snapshot, pod Pod) { s.UpsertPod(&pod) }

func TestSnapshotOfAnEmptiedClusterIsEmpty(t *testing.T) {
	s := NewSnapshot()
	s.UpsertNamespace(Namespace{Name: "shop"})
	s.UpsertNode(Node{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
	s.UpsertPolicy(&Policy{Scope: "shop", Name: "p", Tier: rule.NetworkPolicyTier, Subject: PodSet{Namespace: "shop"}, Isolates: [2]bool{rule.Egress: true}})
	upsert(s, testPod("one", "n1"))
	upsert(s, testPod("two", "n2"))
	for _, p := range s.Pods() {
		s.DeletePod(p.Namespace, p.Name)
	}
	for _, p := range s.Policies() {
		s.DeletePolicy(p.Scope, p.Name)
	}
	s.DeleteNamespace("shop")
	s.DeleteNode("n1")
	left := map[string]int{
		"namespaces": len(s.namespaces), "namespaces in order": len(s.order), "nodes": len(s.nodes),
		"owners": len(slices.Collect(s.owners.Keys())),
	}
	for what, n := range left {
		if n != 0 {
			t.Errorf("%d %s left", n, what)
		}
	}
}

func TestTheRunningAndNewestPodHasTheAddress(t *testing.T) {
	s := NewSnapshot()
	old := testPod("old", "n1")
	upsert(s, old)
	moved := testPod("moved", "n1")
	moved.Created = old.Created.Add(1)
	moved.Running = false
	upsert(s, moved)
	owner := func() string {
		p, _ := s.Owner(netip.MustParseAddr("10.0.0.1"))
		return p.Name
	}
	if got := owner(); got != "old" {
		t.Errorf("owner %q, want old, because the newer pod does not run yet", got)
	}
	moved.Running = true
	upsert(s, moved)
	if got := owner(); got != "moved" {
		t.Errorf("owner %q, want moved, because both run and it is newer", got)
	}
	moved.Finished, moved.Running = true, false
	upsert(s, moved)
	if got := owner(); got != "old" {
		t.Errorf("owner %q, want old, because the other has finished", got)
	}
}
