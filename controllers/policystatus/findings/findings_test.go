package findings

import (
	"context"
	"errors"
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
	failures int
}

func newTenants() *tenants {
	return &tenants{cost: map[string]time.Duration{}, checks: map[string]int{}, policies: map[string][]*policy.Policy{}}
}

func (s *tenants) objects(_ context.Context, namespace string) (lint.Namespace, error) {
	<-time.After(s.cost[namespace])
	s.checks[namespace]++
	if s.failures > 0 {
		s.failures--
		return lint.Namespace{}, errors.New("not now")
	}
	return lint.Namespace{Policies: s.policies[namespace]}, nil
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

// TestBusyNamespaceDoesNotDelayOthers checks that namespaces whose check takes long and whose
// objects change all the time do not delay the findings of another namespace.
func TestBusyNamespaceDoesNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newTenants()
		f := New(source.objects, logr.Discard())
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
		f := New(source.objects, logr.Discard())
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
		source.failures = 2
		source.policies["red"][0].Egress = nil
		if got := change("red"); !slices.Equal(got, []string{"red/one"}) {
			t.Errorf("reported %q after two failures, want the policy that changed", got)
		}
		stop()
	})
}
