package policystatus

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/kube"
)

// TestFindingsDoNotDependOnOtherNamespaces checks, with random clusters and random changes, that
// the findings about the policies of a namespace stay the same when an object of another
// namespace is created, changed or deleted.
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

// findingsByNamespace returns the findings that the operator has in a cluster with the given
// objects.
func findingsByNamespace(t *rapid.T, objects *cluster.Objects) map[string][]lint.Finding {
	contents := contentsOf(objects)
	out := map[string][]lint.Finding{}
	for _, namespace := range []string{"red", "blue", "default", "ghost"} {
		in, err := contents(t.Context(), namespace)
		if err != nil {
			t.Fatal(err)
		}
		if out[namespace], err = lint.RunNamespace(in); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// contentsOf returns the method Reconciler.contents of an operator whose caches contain the given
// objects.
func contentsOf(objects *cluster.Objects) func(context.Context, string) (lint.Namespace, error) {
	var all []runtime.Object
	for _, c := range objects.Created() {
		all = append(all, c.Object.(runtime.Object))
	}
	r := &Reconciler{reader: fake.NewClientBuilder().WithScheme(kube.Scheme()).WithRuntimeObjects(all...).Build(), policies: newPolicies()}
	for _, np := range objects.Policies {
		r.policies.set(readPolicy(np))
	}
	return r.contents
}
