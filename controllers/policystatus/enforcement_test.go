package policystatus

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// acknowledged returns the NodeEnforcer of a node that enforces all objects up to the given
// resource version.
func acknowledged(node string, version int) *v1alpha1.NodeEnforcer {
	contained := fmt.Sprint(version)
	return &v1alpha1.NodeEnforcer{
		ObjectMeta: metav1.ObjectMeta{Name: node, UID: types.UID(node)},
		Status: v1alpha1.NodeEnforcerStatus{
			Acknowledged: &v1alpha1.Generation{Number: 1, Contains: v1alpha1.ResourceVersions{NetworkPolicies: contained, Pods: contained}},
			Conditions:   []metav1.Condition{v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "")},
		},
	}
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

// TestOnlyAffectedPoliciesAreReconciled checks which policies a new status of a node
// affects.
func TestOnlyAffectedPoliciesAreReconciled(t *testing.T) {
	e := newEnforcement()
	want := func(what string, got affected, enforced, lagging []types.NamespacedName) {
		t.Helper()
		if diff := cmp.Diff([][]types.NamespacedName{enforced, lagging}, [][]types.NamespacedName{got.enforced, got.lagging}); diff != "" {
			t.Errorf("%s: enforced and lagging (-want +got):\n%s", what, diff)
		}
	}
	db, web := named("db"), named("web")
	e.update(acknowledged("a", 10))
	e.update(acknowledged("b", 10))
	if lags := e.require(web, map[string]versions{"a": {"9", "10"}, "b": {"9", "7"}}); lags != nil {
		t.Errorf("web lags on %v", lags)
	}
	if lags := e.require(db, map[string]versions{"a": {"20", "9"}, "b": {"20", "21"}}); len(lags) != 2 || lags[0] != (lag{node: "a"}) {
		t.Errorf("db lags on %v, want a and b", lags)
	}
	want("a acknowledges an older version than required", e.update(acknowledged("a", 19)), nil, nil)
	want("a contains db, b is behind", e.update(acknowledged("a", 20)), nil, []types.NamespacedName{db})
	want("b contains the policy but not the pod", e.update(acknowledged("b", 20)), nil, nil)
	want("b contains db", e.update(acknowledged("b", 100)), []types.NamespacedName{db}, nil)
	want("the agent of b restarts", e.update(acknowledged("b", 1)), nil, nil)
	if lags := e.require(db, map[string]versions{"a": {"20", "9"}, "b": {"20", "21"}}); lags != nil {
		t.Errorf("db lags on %v again", lags)
	}
	e.require(web, map[string]versions{"a": {"9", "10"}})
	e.update(acknowledged("a", 101))
	silent := acknowledged("b", 1)
	silent.Status.Conditions = append(silent.Status.Conditions,
		v1alpha1.NewCondition(v1alpha1.ConditionResponding, metav1.ConditionFalse, v1alpha1.ReasonAgentSilent, ""))
	want("the agent of b is silent", e.update(silent), nil, []types.NamespacedName{db})
	want("b reports again", e.update(acknowledged("b", 1)), []types.NamespacedName{db}, nil)
	if removed := e.remove("a"); len(removed.enforced) != 0 || len(removed.lagging) != 2 {
		t.Errorf("removing a affects %v, want db and web", removed)
	}
	e.require(web, nil)
	e.require(db, nil)
	e.remove("b")
	if len(e.nodes) != 0 || len(e.needed) != 0 {
		t.Errorf("%d nodes and %d policies remain", len(e.nodes), len(e.needed))
	}
}

func TestNotOlder(t *testing.T) {
	tests := map[string]struct {
		a, b string
		want bool
	}{
		"longer is newer":   {"100", "99", true},
		"shorter is older":  {"99", "100", false},
		"equal":             {"7", "7", true},
		"a is empty":        {"", "7", false},
		"b is empty":        {"7", "", true},
		"both are empty":    {"", "", true},
		"a is not a number": {"x", "7", false},
		"more than 64 bits": {"99999999999999999999999", "99999999999999999999998", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := notOlder(tt.a, tt.b); got != tt.want {
				t.Errorf("notOlder(%q, %q) is %t", tt.a, tt.b, got)
			}
		})
	}
}

// BenchmarkHeartbeat measures how long it takes to process one status in a cluster of 200
// nodes. Each node enforces 2,000 policies.
func BenchmarkHeartbeat(b *testing.B) {
	const nodes, policies = 200, 2000
	e := newEnforcement()
	wants := map[string]versions{}
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i)
		e.update(acknowledged(name, 10))
		wants[name] = versions{"10", "10"}
	}
	for i := range policies {
		e.require(named(fmt.Sprint(i)), wants)
	}
	heartbeat := acknowledged("node-7", 11)
	b.ReportAllocs()
	for b.Loop() {
		if n := e.update(heartbeat); n.enforced != nil || n.lagging != nil {
			b.Fatal("a heartbeat affects policies")
		}
	}
}
