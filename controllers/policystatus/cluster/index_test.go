package cluster_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/controllers/digest"
	"github.com/sluicenet/sluice/controllers/policystatus/cluster"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/read"
)

// model is a slow and simple oracle for an Index. It computes each observation from all objects.
type model struct {
	policies map[types.NamespacedName]*policy.Policy
	pods     map[types.NamespacedName]*policy.Pod
	reports  map[string]cluster.Report
}

func newModel() *model {
	return &model{policies: map[types.NamespacedName]*policy.Policy{}, pods: map[types.NamespacedName]*policy.Pod{}, reports: map[string]cluster.Report{}}
}

// onNode returns the pods of a node that a policy selects and that have an address.
func (m *model) onNode(p *policy.Policy, node string) (out []*policy.Pod) {
	for _, pod := range m.pods {
		if pod.Node == node && len(pod.Addresses) > 0 && p.Selects(pod, nil) {
			out = append(out, pod)
		}
	}
	return out
}

func (m *model) observe(name types.NamespacedName) *cluster.Observation {
	p := m.policies[name]
	if p == nil {
		return nil
	}
	out := &cluster.Observation{Policy: p}
	for _, pod := range m.pods {
		if p.Selects(pod, nil) {
			out.Pods++
		}
	}
	for _, node := range nodes {
		pods := m.onNode(p, node)
		if len(pods) == 0 {
			continue
		}
		out.Nodes++
		r, ok := m.reports[node]
		if !ok {
			r = cluster.Report{Problem: "no agent has reported yet"}
		}
		if r.Problem != "" || !digest.Contains(r.Enforced, digest.Of(p, pods)) {
			out.Lags = append(out.Lags, cluster.Lag{Node: node, Problem: r.Problem})
		}
	}
	return out
}

// enforced returns the digests that a node reports if it enforces the current version of some
// random policies.
func (m *model) enforced(t *rapid.T, node string) []byte {
	var all []digest.Digest
	for _, name := range slices.SortedFunc(maps.Keys(m.policies), byName) {
		if p := m.policies[name]; rapid.Bool().Draw(t, "enforces "+name.String()) {
			all = append(all, digest.Of(p, m.onNode(p, node)))
		}
	}
	return digest.Join(all)
}

func byName(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) }

var (
	nodes  = []string{"a", "b", "c"}
	spaces = []string{"shop", "bank"}
)

func drawName(t *rapid.T, kind string) types.NamespacedName {
	return types.NamespacedName{Namespace: rapid.SampledFrom(spaces).Draw(t, "namespace"), Name: fmt.Sprint(kind, rapid.IntRange(0, 2).Draw(t, kind))}
}

func drawPod(t *rapid.T, name types.NamespacedName) *policy.Pod {
	pod := &policy.Pod{
		Namespace: name.Namespace, Name: name.Name, UID: name.String() + rapid.SampledFrom([]string{"u", "v"}).Draw(t, "uid"),
		Labels:      label.Of(map[string]string{"app": rapid.SampledFrom([]string{"db", "web"}).Draw(t, "app")}),
		Node:        rapid.SampledFrom(append(nodes, "")).Draw(t, "node"),
		HostNetwork: rapid.IntRange(0, 5).Draw(t, "host network") == 0,
		Finished:    rapid.IntRange(0, 5).Draw(t, "finished") == 0,
	}
	if rapid.IntRange(0, 3).Draw(t, "address") > 0 {
		pod.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, rapid.ByteMax(2).Draw(t, "last byte")})}
	}
	return pod
}

func drawPolicy(t *rapid.T, name types.NamespacedName) *policy.Policy {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{
		Namespace: name.Namespace, Name: name.Name, UID: types.UID(rapid.SampledFrom([]string{"p", "q"}).Draw(t, "uid")), Generation: rapid.Int64Range(1, 3).Draw(t, "generation"),
	}}
	if app := rapid.SampledFrom([]string{"", "db", "web"}).Draw(t, "selects"); app != "" {
		np.Spec.PodSelector.MatchLabels = map[string]string{"app": app}
	}
	p, _ := read.NetworkPolicy(np)
	return p
}

// TestIndexMatchesModel applies random changes to an index and to the model. After each change, all
// observations must be equal, and the index must have returned each policy whose observation has
// changed.
func TestIndexMatchesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, m := cluster.New(), newModel()
		before := map[types.NamespacedName]*cluster.Observation{}
		check := func(reported ...types.NamespacedName) {
			after := map[types.NamespacedName]*cluster.Observation{}
			for name := range m.policies {
				after[name] = m.observe(name)
				if diff := cmp.Diff(after[name], x.Observe(name), cmp.Comparer(func(a, b *policy.Policy) bool { return a == b })); diff != "" {
					t.Fatalf("observation of %s (-model +index):\n%s", name, diff)
				}
				if old := before[name]; old != nil && old.Policy == after[name].Policy && !cmp.Equal(old, after[name], cmp.Comparer(func(a, b *policy.Policy) bool { return a == b })) && !slices.Contains(reported, name) {
					t.Fatalf("the observation of %s changed, but only %v were reported", name, reported)
				}
			}
			before = after
		}
		t.Repeat(map[string]func(*rapid.T){
			"set policy": func(t *rapid.T) {
				name := drawName(t, "policy")
				m.policies[name] = drawPolicy(t, name)
				x.SetPolicy(m.policies[name])
				check()
			},
			"remove policy": func(t *rapid.T) {
				name := drawName(t, "policy")
				delete(m.policies, name)
				x.RemovePolicy(name)
				check()
			},
			"set pod": func(t *rapid.T) {
				name := drawName(t, "pod")
				pod := drawPod(t, name)
				m.pods[name] = pod
				check(x.Affected(x.SetPod(pod), pod)...)
			},
			"remove pod": func(t *rapid.T) {
				name := drawName(t, "pod")
				delete(m.pods, name)
				old := x.RemovePod(name)
				if old == nil {
					return
				}
				check(x.Affected(old, nil)...)
			},
			"set report": func(t *rapid.T) {
				node := rapid.SampledFrom(nodes).Draw(t, "node")
				r := cluster.Report{Problem: rapid.SampledFrom([]string{"", "", "broken"}).Draw(t, "problem"), Enforced: m.enforced(t, node)}
				m.reports[node] = r
				check(all(x.SetReport(node, r))...)
			},
			"remove report": func(t *rapid.T) {
				node := rapid.SampledFrom(nodes).Draw(t, "node")
				delete(m.reports, node)
				check(all(x.RemoveReport(node))...)
			},
		})
		for name := range m.policies {
			x.RemovePolicy(name)
		}
		for name := range m.pods {
			x.RemovePod(name)
		}
		for node := range m.reports {
			x.RemoveReport(node)
		}
		if !x.Empty() {
			t.Fatal("an index without objects still contains namespaces or nodes")
		}
	})
}

func all(c cluster.Transitions) []types.NamespacedName {
	return slices.Concat(c.Complete, c.Closer, c.Further)
}

// TestRestoredPolicyIsNotEnforced checks the observation of a policy after etcd was restored from a
// backup with an older version of the policy. The node enforces the newer version until its agent
// has read the older one.
func TestRestoredPolicyIsNotEnforced(t *testing.T) {
	x := cluster.New()
	pod := &policy.Pod{Namespace: "shop", Name: "db", UID: "pod", Node: "a", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	version := func(generation int64) *policy.Policy {
		return &policy.Policy{Scope: "shop", Name: "db", UID: "policy", Generation: generation, Subject: policy.PodSet{Namespace: "shop"}}
	}
	enforces := func(generation int64) cluster.Report {
		return cluster.Report{Enforced: digest.Join([]digest.Digest{digest.Of(version(generation), []*policy.Pod{pod})})}
	}
	name := types.NamespacedName{Namespace: "shop", Name: "db"}
	x.SetPod(pod)
	x.SetPolicy(version(5))
	x.SetReport("a", enforces(5))
	if lags := x.Observe(name).Lags; lags != nil {
		t.Fatalf("version 5 lags on %v", lags)
	}
	x.SetPolicy(version(4))
	if lags := x.Observe(name).Lags; len(lags) != 1 {
		t.Errorf("version 4 lags on %v, want node a", lags)
	}
	x.SetReport("a", enforces(4))
	if lags := x.Observe(name).Lags; lags != nil {
		t.Errorf("version 4 lags on %v after the node enforces it", lags)
	}
}

// TestTransitions checks in which list of Transitions a report puts a policy.
func TestTransitions(t *testing.T) {
	x := cluster.New()
	p := &policy.Policy{Scope: "shop", Name: "db", UID: "p", Generation: 1, Subject: policy.PodSet{Namespace: "shop"}}
	name := types.NamespacedName{Namespace: "shop", Name: "db"}
	x.SetPolicy(p)
	reports := map[string]cluster.Report{}
	for _, node := range []string{"a", "b"} {
		pod := &policy.Pod{Namespace: "shop", Name: node, UID: node, Node: node, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
		x.SetPod(pod)
		reports[node] = cluster.Report{Enforced: digest.Join([]digest.Digest{digest.Of(p, []*policy.Pod{pod})})}
	}
	x.Observe(name)
	one := []types.NamespacedName{name}
	for _, step := range []struct {
		node   string
		report cluster.Report
		want   cluster.Transitions
	}{
		{"a", reports["a"], cluster.Transitions{Closer: one}},
		{"a", reports["a"], cluster.Transitions{}},
		{"b", reports["b"], cluster.Transitions{Complete: one}},
		{"b", cluster.Report{Problem: "broken", Enforced: reports["b"].Enforced}, cluster.Transitions{Further: one}},
		{"b", reports["b"], cluster.Transitions{Complete: one}},
		{"c", cluster.Report{Problem: "broken"}, cluster.Transitions{}},
	} {
		if diff := cmp.Diff(step.want, x.SetReport(step.node, step.report)); diff != "" {
			t.Errorf("report %+v of node %s (-want +got):\n%s", step.report, step.node, diff)
		}
	}
}
