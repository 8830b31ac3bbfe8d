package enforced_test

import (
	"bytes"
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/controllers/digest"
	"github.com/sluicenet/sluice/controllers/node/enforced"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/read"
)

func pod(name, node string, addresses ...string) *policy.Pod {
	p := &policy.Pod{Namespace: "shop", Name: name, UID: name, Node: node, Labels: label.Of(map[string]string{"app": name})}
	for _, a := range addresses {
		p.Addresses = append(p.Addresses, netip.MustParseAddr(a))
	}
	return p
}

// policyFor returns a policy that selects the pods of one app, or all pods if app is "".
func policyFor(t *testing.T, name, app string, generation int64) *policy.Policy {
	t.Helper()
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), Generation: generation}}
	if app != "" {
		np.Spec.PodSelector.MatchLabels = map[string]string{"app": app}
	}
	p, errs := read.NetworkPolicy(np)
	if errs != nil {
		t.Fatal(errs)
	}
	return p
}

// TestDigests checks the digests after each of several changes. There must be one digest for each
// policy that selects a pod with an address on the node, and no other digest.
func TestDigests(t *testing.T) {
	s := policy.NewSnapshot()
	e := enforced.New(s, "n")
	want := func(what string, digests ...digest.Digest) {
		t.Helper()
		if got := e.Digests(); !bytes.Equal(got, digest.Join(digests)) {
			t.Errorf("%s: %x, want %x", what, got, digest.Join(digests))
		}
	}
	all, db := policyFor(t, "all", "", 1), policyFor(t, "db", "db", 1)
	list := func(pods ...*policy.Pod) []*policy.Pod { return pods }
	s.UpsertPolicy(all)
	s.UpsertPolicy(db)
	s.UpsertPod(pod("remote", "other", "10.0.1.1"))
	want("no pod on the node")
	s.UpsertPod(pod("web", "n", "10.0.0.1"))
	want("web", digest.Of(all, list(pod("web", "n", "10.0.0.1"))))
	s.UpsertPod(pod("db", "n"))
	want("db without an address", digest.Of(all, list(pod("web", "n", "10.0.0.1"))))

	// An address that occurs only in CNI results has no effect.
	s.SetSandboxes("n", []policy.Sandbox{
		{Namespace: "shop", Name: "db", UID: "db", Interface: "eth0", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}},
	})
	want("db with a sandbox", digest.Of(all, list(pod("web", "n", "10.0.0.1"))))
	s.UpsertPod(pod("db", "n", "10.0.0.2"))
	both := list(pod("web", "n", "10.0.0.1"), pod("db", "n", "10.0.0.2"))
	want("db with an address", digest.Of(all, both), digest.Of(db, both[1:]))
	s.UpsertPod(pod("remote", "other", "10.0.1.2"))
	want("remote pod changed", digest.Of(all, both), digest.Of(db, both[1:]))

	second := policyFor(t, "db", "db", 2)
	s.UpsertPolicy(second)
	want("new generation without an effect", digest.Of(all, both), digest.Of(second, both[1:]))

	// The policies still apply to a pod whose object is gone, but the digests do not
	// include it.
	s.DeletePod("shop", "db")
	if s.LingeringPods() != 1 {
		t.Error("the pod does not linger")
	}
	want("db is gone", digest.Of(all, both[:1]))
	s.DeletePolicy("shop", "all")
	want("no policy selects web")
}

// TestDigestsOfClusterPolicies checks after each change that the digests contain the cluster-scoped
// policies that select a pod of the node.
func TestDigestsOfClusterPolicies(t *testing.T) {
	s := policy.NewSnapshot()
	e := enforced.New(s, "n")
	want := func(what string, digests ...digest.Digest) {
		t.Helper()
		if got := e.Digests(); !bytes.Equal(got, digest.Join(digests)) {
			t.Errorf("%s: %x, want %x", what, got, digest.Join(digests))
		}
	}
	namespace := func(team string) policy.Namespace {
		return policy.Namespace{Name: "shop", Labels: label.Of(map[string]string{"team": team})}
	}
	cluster := func(generation int64) *policy.Policy {
		return &policy.Policy{
			Name: "red", UID: "red", Generation: generation, Tier: rule.AdminTier,
			Subject: policy.PodSet{Namespaces: label.NewSelector([]label.Requirement{{Key: "team", Operator: selection.Equals, Values: []string{"red"}}})},
		}
	}
	web := []*policy.Pod{pod("web", "n", "10.0.0.1")}
	s.UpsertNamespace(namespace("red"))
	s.UpsertPod(pod("web", "n", "10.0.0.1"))
	s.UpsertPod(pod("remote", "other", "10.0.1.1"))
	want("no policy")
	s.UpsertPolicy(cluster(1))
	want("policy", digest.Of(cluster(1), web))
	s.UpsertPolicy(cluster(2))
	want("new generation without an effect", digest.Of(cluster(2), web))
	s.UpsertNamespace(namespace("blue"))
	want("other labels of the namespace")
	s.UpsertNamespace(namespace("red"))
	want("labels as before", digest.Of(cluster(2), web))
	s.DeletePod("shop", "web")
	want("no pod")
	s.UpsertPod(pod("web", "n", "10.0.0.2"))
	want("other address", digest.Of(cluster(2), []*policy.Pod{pod("web", "n", "10.0.0.2")}))
	s.DeletePolicy("", "red")
	want("policy deleted")
}
