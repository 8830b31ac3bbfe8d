package operator

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// says gives a NodeEnforcer that enforces what is not newer than a resource version.
func says(node string, version int) *v1alpha1.NodeEnforcer {
	now, contained := metav1.Now(), fmt.Sprint(version)
	return &v1alpha1.NodeEnforcer{
		ObjectMeta: metav1.ObjectMeta{Name: node, UID: types.UID(node)},
		Status: v1alpha1.NodeEnforcerStatus{
			Heartbeat:    &now,
			Acknowledged: &v1alpha1.Generation{Number: 1, Contains: v1alpha1.ResourceVersions{NetworkPolicies: contained, Pods: contained}},
			Conditions:   []metav1.Condition{v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "")},
		},
	}
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

// TestEnforcement: only what a node's words settle is looked at again.
func TestEnforcement(t *testing.T) {
	e, now := newEnforcement(), time.Now()
	want := func(what string, got news, settled, moved []types.NamespacedName) {
		t.Helper()
		if diff := cmp.Diff([][]types.NamespacedName{settled, moved}, [][]types.NamespacedName{got.settled, got.moved}); diff != "" {
			t.Errorf("%s: settled and moved (-want +got):\n%s", what, diff)
		}
	}
	db, web := named("db"), named("web")
	e.seen(says("a", 10), now)
	e.seen(says("b", 10), now)
	if lags := e.need(web, map[string]versions{"a": {"9", "10"}, "b": {"9", "7"}}); lags != nil {
		t.Errorf("web lags on %v", lags)
	}
	if lags := e.need(db, map[string]versions{"a": {"20", "9"}, "b": {"20", "21"}}); len(lags) != 2 || lags[0] != (lag{node: "a"}) {
		t.Errorf("db lags on %v, want a and b", lags)
	}
	want("a beats", e.seen(says("a", 19), now), nil, nil)
	want("a has it", e.seen(says("a", 20), now), nil, []types.NamespacedName{db})
	want("b has the policy, not the pod", e.seen(says("b", 20), now), nil, nil)
	want("b has it", e.seen(says("b", 100), now), []types.NamespacedName{db}, nil)
	want("b forgets for a moment", e.seen(says("b", 1), now), nil, nil)
	if lags := e.need(db, map[string]versions{"a": {"20", "9"}, "b": {"20", "21"}}); lags != nil {
		t.Errorf("db lags on %v again", lags)
	}
	want("nobody is silent", e.expire(now), nil, nil)
	e.need(web, map[string]versions{"a": {"9", "10"}})
	e.seen(says("a", 101), now.Add(time.Second))
	silent := e.expire(now.Add(2 * heartbeatTimeout))
	if len(silent.settled) != 0 || len(silent.moved) != 3 {
		t.Errorf("silence moved %v, want db of two nodes and web", silent)
	}
	want("b is back", e.seen(says("b", 1), now), nil, []types.NamespacedName{db})
	if gone := e.gone("a"); len(gone.settled) != 0 || len(gone.moved) != 2 {
		t.Errorf("the end of a moved %v, want db and web", gone)
	}
	e.need(web, nil)
	e.need(db, nil)
	e.gone("b")
	if len(e.nodes) != 0 || len(e.needed) != 0 {
		t.Errorf("%d nodes and %d policies are left", len(e.nodes), len(e.needed))
	}
}

func TestNotOlder(t *testing.T) {
	tests := map[string]struct {
		a, b string
		want bool
	}{
		"longer is newer":  {"100", "99", true},
		"shorter is older": {"99", "100", false},
		"equal":            {"7", "7", true},
		"nothing known":    {"", "7", false},
		"nothing wanted":   {"7", "", true},
		"nothing at all":   {"", "", true},
		"no number":        {"x", "7", false},
		"beyond 64 bits":   {"99999999999999999999999", "99999999999999999999998", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := notOlder(tt.a, tt.b); got != tt.want {
				t.Errorf("notOlder(%q, %q) is %t", tt.a, tt.b, got)
			}
		})
	}
}

// BenchmarkBeat is what one write of one of 200 nodes costs, each of which
// enforces 2,000 policies.
func BenchmarkBeat(b *testing.B) {
	const nodes, policies = 200, 2000
	e, now := newEnforcement(), time.Now()
	wants := map[string]versions{}
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i)
		e.seen(says(name, 10), now)
		wants[name] = versions{"10", "10"}
	}
	for i := range policies {
		e.need(named(fmt.Sprint(i)), wants)
	}
	beat := says("node-7", 11)
	b.ReportAllocs()
	for b.Loop() {
		if n := e.seen(beat, now); n.settled != nil || n.moved != nil {
			b.Fatal("a beat is news")
		}
	}
}
