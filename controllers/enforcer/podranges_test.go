package enforcer_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/eventually"
)

// TestPodRanges checks that the status contains the ranges of the spec and of all nodes.
func TestPodRanges(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	want := func(want ...string) {
		t.Helper()
		eventually.NoError(t, func() error {
			var e v1alpha1.Enforcer
			must(t, f.Get(t.Context(), enforcerKey, &e))
			if !slices.Equal(e.Status.PodRanges, want) {
				return fmt.Errorf("pod ranges %v, want %v", e.Status.PodRanges, want)
			}
			return nil
		})
	}
	assign := func(name string, podCIDRs ...string) {
		t.Helper()
		change(f, &corev1.Node{}, name, func(n *corev1.Node) { n.Spec.PodCIDR, n.Spec.PodCIDRs = podCIDRs[0], podCIDRs })
	}
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	f.createNode("ranges-a")
	f.createNode("ranges-b")
	want()
	assign("ranges-a", "10.244.0.0/24", "fd00::/64")
	want("10.244.0.0/24", "fd00::/64")
	assign("ranges-b", "10.244.1.0/24", "fd00:0:0:1::/64")
	want("10.244.0.0/23", "fd00::/63")
	change(f, &v1alpha1.Enforcer{}, enforcerKey.Name, func(e *v1alpha1.Enforcer) { e.Spec.PodRanges = []string{"172.20.0.0/14"} })
	want("10.244.0.0/23", "172.20.0.0/14", "fd00::/63")
}
