package policystatus

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	policycluster "github.com/sluicenet/sluice/controllers/policystatus/cluster"
	"github.com/sluicenet/sluice/controllers/reduce"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/test/cluster"
)

// TestFindingsDoNotDependOnOtherNamespaces applies random changes to random clusters. If an
// object of one namespace is created, changed or deleted, the findings about the policies of
// the other namespaces must stay the same.
func TestFindingsDoNotDependOnOtherNamespaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objects := cluster.NewRandom(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") })
		for range 10 {
			before := findingsByNamespace(t, &objects.Objects)
			changes := objects.Step()
			after := findingsByNamespace(t, &objects.Objects)
			for _, c := range changes {
				changed := c.Object.GetNamespace()
				if changed == "" {
					changed = c.Object.GetName()
				}
				delete(before, changed)
				delete(after, changed)
			}
			if diff := cmp.Diff(before, after, cmpopts.IgnoreUnexported(lint.Finding{})); diff != "" {
				t.Fatalf("findings after %v (-before +after):\n%s\n%s", changes, diff, objects)
			}
		}
	})
}

// findingsByNamespace returns the findings of an operator in a cluster with the given
// objects.
func findingsByNamespace(t *rapid.T, objects *cluster.Objects) map[string][]lint.Finding {
	index := indexOf(objects)
	out := map[string][]lint.Finding{}
	for _, namespace := range []string{"red", "blue", "default", "ghost"} {
		var err error
		if out[namespace], err = lint.RunNamespace(index.Contents(namespace)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// indexOf returns the index of an operator whose caches contain the given objects.
func indexOf(objects *cluster.Objects) *policycluster.Index {
	index := policycluster.New()
	for _, n := range objects.Namespaces {
		index.SetNamespace(policy.ReadNamespace(n))
	}
	for _, pod := range objects.Pods {
		index.SetPod(reduce.Pod(pod).Pod)
	}
	for _, np := range objects.Policies {
		index.SetPolicy(readPolicy(np))
	}
	return index
}
