package findings

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
)

// tenants is a Source for tests. The map contains how long the check of each namespace takes.
type tenants struct {
	cost     map[string]time.Duration
	checks   map[string]int
	policies map[string][]*policy.Policy
	// tiers contains the ClusterNetworkPolicies.
	tiers []*policy.Policy
}

func newTenants() *tenants {
	return &tenants{cost: map[string]time.Duration{}, checks: map[string]int{}, policies: map[string][]*policy.Policy{}}
}

func (s *tenants) Contents(namespace string) lint.Namespace {
	<-time.After(s.cost[namespace])
	s.checks[namespace]++
	return lint.Namespace{Policies: s.policies[namespace]}
}

func (s *tenants) All() lint.Cluster {
	<-time.After(s.cost[clusterScope])
	s.checks[clusterScope]++
	return lint.Cluster{Namespaces: []lint.Namespace{{Object: &policy.Namespace{Name: "red"}}}, Policies: s.tiers}
}

// run calls the method Run of `f`, and returns a function that ends it.
func run(t *testing.T, f *Findings, report func([]types.NamespacedName)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx, report)
	}()
	return func() {
		cancel()
		<-done
	}
}

// TestBusyNamespaceDoesNotDelayOthers changes the objects of some busy namespaces all the time.
// The checks of these namespaces take long, but must not delay the findings of another
// namespace.
func TestBusyNamespaceDoesNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTenants()
		f := New(source, logr.Discard())
		var busy []string
		for i := range 5 {
			busy = append(busy, fmt.Sprint("busy-", i))
			source.cost[busy[i]] = 300 * time.Millisecond
		}
		source.cost["quiet"] = time.Millisecond
		stop := run(t, f, func([]types.NamespacedName) {})
		for range 300 {
			for _, namespace := range busy {
				f.Changed(namespace)
			}
			before := source.checks["quiet"]
			f.Changed("quiet")
			<-time.After(10 * time.Second)
			if synctest.Wait(); source.checks["quiet"] == before {
				t.Error("no check of the quiet namespace within 10 s")
			}
		}
		stop()
		var total time.Duration
		for _, namespace := range busy {
			if n := source.checks[namespace]; n < 50 || n > 101 {
				t.Errorf("%d checks of namespace %s in 3,000 s, want at most one every 30 s", n, namespace)
			}
			total += time.Duration(source.checks[namespace]) * source.cost[namespace]
		}
		if limit := 3000*time.Second/totalShare + burst; total > limit {
			t.Errorf("checks took %s, want at most %s", total, limit)
		}
	})
}

// TestOnlyChangedNamespacesAreChecked checks that a change causes one check of one namespace, and
// that only policies whose findings changed are reported.
func TestOnlyChangedNamespacesAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTenants()
		for _, namespace := range []string{"blue", "red"} {
			source.policies[namespace] = []*policy.Policy{
				{Name: "all", Scope: namespace, Tier: rule.NetworkPolicyTier, Subject: policy.PodSet{Namespace: namespace}},
				{Name: "one", Scope: namespace, Tier: rule.NetworkPolicyTier, Subject: policy.PodSet{Namespace: namespace}, Egress: make([]policy.Rule, 1)},
			}
		}
		f := New(source, logr.Discard())
		var reported []types.NamespacedName
		stop := run(t, f, func(names []types.NamespacedName) { reported = append(reported, names...) })
		change := func(namespaces ...string) (got []string) {
			reported = nil
			for _, namespace := range namespaces {
				f.Changed(namespace)
			}
			<-time.After(5 * time.Second)
			synctest.Wait()
			for _, name := range reported {
				got = append(got, name.String())
			}
			slices.Sort(got)
			return got
		}
		if _, checked := f.Of(types.NamespacedName{Namespace: "red", Name: "all"}); checked {
			t.Error("a policy is checked before the first run")
		}
		if got := change("red", "blue", "red"); len(got) != 4 || source.checks["red"] != 1 || source.checks["blue"] != 1 {
			t.Errorf("reported %q after checks %v, want all four policies after one check of each namespace", got, source.checks)
		}
		if found, checked := f.Of(types.NamespacedName{Namespace: "red", Name: "one"}); !checked || len(found) == 0 {
			t.Errorf("findings %+v, want some", found)
		}
		if got := change("red"); len(got) > 0 || source.checks["blue"] != 1 {
			t.Errorf("reported %q after no change, with checks %v", got, source.checks)
		}
		source.policies["red"] = append(source.policies["red"][1:], &policy.Policy{Name: "new", Scope: "red"})
		if got := change("red"); !slices.Equal(got, []string{"red/new"}) {
			t.Errorf("reported %q, want the new policy", got)
		}
		if _, checked := f.Of(types.NamespacedName{Namespace: "red", Name: "all"}); checked {
			t.Error("a deleted policy has findings")
		}
		source.tiers = []*policy.Policy{{Name: "tiers", Tier: rule.AdminTier}}
		if got := change(clusterScope); !slices.Equal(got, []string{"/tiers"}) || source.checks["red"] != 3 {
			t.Errorf("reported %q after checks %v, want the ClusterNetworkPolicy only", got, source.checks)
		}
		if found, _ := f.Of(types.NamespacedName{Name: "tiers"}); len(found) == 0 || found[0].Check != "no-pod-selected" {
			t.Errorf("findings %+v about a ClusterNetworkPolicy that selects no pod", found)
		}
		before := source.checks[clusterScope]
		if got := change("red", "blue"); len(got) > 0 || source.checks[clusterScope] != before+1 {
			t.Errorf("reported %q after checks %v, want one more check of the ClusterNetworkPolicies", got, source.checks)
		}
		stop()
	})
}

// TestChecksOfTheClusterAreLimited changes objects of all namespaces all the time. The checks
// of ClusterNetworkPolicies must take at most one percent of a processor, and must not delay
// the findings of a namespace.
func TestChecksOfTheClusterAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTenants()
		source.cost[clusterScope] = 500 * time.Millisecond
		f := New(source, logr.Discard())
		stop := run(t, f, func([]types.NamespacedName) {})
		for i := range 300 {
			before := source.checks["quiet"]
			f.Changed(fmt.Sprint("namespace-", i%10))
			f.Changed("quiet")
			<-time.After(10 * time.Second)
			if synctest.Wait(); source.checks["quiet"] == before {
				t.Error("no check of the quiet namespace within 10 s")
			}
		}
		stop()
		if n := source.checks[clusterScope]; n < 50 || n > 61 {
			t.Errorf("%d checks of the cluster in 3,000 s, want at most one every 50 s", n)
		}
	})
}
