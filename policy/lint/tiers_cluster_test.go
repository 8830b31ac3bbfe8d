package lint_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/cluster"
)

// TestRunTiersFindsTheSame compares RunTiers with Run for random clusters. For each
// ClusterNetworkPolicy, both must have findings of the same checks. The findings of RunTiers have
// no details.
func TestRunTiersFindsTheSame(t *testing.T) {
	total := 0
	for seed := range uint64(60) {
		objects := cluster.NewTiered(cluster.Seeded(seed))
		for range 10 {
			objects.Step()
		}
		s := policy.NewSnapshot()
		for _, n := range objects.Namespaces {
			s.UpsertNamespace(policy.ReadNamespace(n))
		}
		for _, p := range objects.Pods {
			pod, _ := policy.ReadPod(p)
			s.UpsertPod(pod)
		}
		for _, np := range objects.Policies {
			p, _ := read.NetworkPolicy(np)
			s.UpsertPolicy(p)
		}
		for _, cnp := range objects.ClusterNetworkPolicies {
			object, err := cluster.EncodeClusterPolicy(cnp, "v1beta1")
			if err != nil {
				t.Fatal(err)
			}
			p, _ := read.ClusterNetworkPolicy(object)
			s.UpsertPolicy(p)
		}
		if len(objects.Pods) == 0 {
			continue
		}
		var want []string
		for _, f := range lint.Run(lint.Input{Snapshot: s}) {
			if f.Policy != "" && f.Namespace == "" {
				want = append(want, summary(&f))
			}
		}
		in := lint.Cluster{Policies: s.ClusterPolicies()}
		for _, name := range []string{"red", "blue", "default", "ghost"} {
			in.Namespaces = append(in.Namespaces, namespaceOf(name, s))
		}
		found, err := lint.RunTiers(in)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			got = append(got, summary(&f))
			if f.Detail != "" {
				t.Fatalf("finding %+v has a detail", f)
			}
		}
		// RunTiers keeps fewer findings of each check.
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(slices.Compact(want), slices.Compact(got)); diff != "" {
			t.Fatalf("findings (-Run +RunTiers):\n%s\n%s", diff, objects)
		}
		total += len(got)
	}
	if total < 100 {
		t.Errorf("%d findings, want more", total)
	}
}

func summary(f *lint.Finding) string { return fmt.Sprint(f.Policy, " ", f.Severity, " ", f.Check) }
