package desired_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
)

// TestReplaced checks how many pods are replaced at the same time. With the default, 1,000 nodes
// need 10 batches of pods, as docs/upgrade.md states.
func TestReplaced(t *testing.T) {
	percent, number := ptr.To(intstr.FromString("25%")), ptr.To(intstr.FromInt32(5))
	for _, tt := range []struct {
		limit           *intstr.IntOrString
		nodes, notReady int
		want            string
	}{
		{nil, 0, 0, "10%"},
		{nil, 1, 1, "2"},
		{nil, 11, 1, "3"},
		{nil, 1000, 0, "10%"},
		{nil, 1000, 3, "103"},
		{percent, 10, 0, "25%"},
		{percent, 10, 1, "4"},
		{number, 1000, 0, "5"},
		{number, 2, 2, "7"},
		{ptr.To(intstr.FromString("many")), 1000, 1, "2"},
	} {
		spec := &v1alpha1.EnforcerSpec{UpdateStrategy: v1alpha1.UpdateStrategy{MaxUnavailable: tt.limit}}
		if got := desired.Replaced(spec, tt.nodes, tt.notReady); got.String() != tt.want {
			t.Errorf("maxUnavailable %v with %d nodes, of which %d are not Ready: %s, want %s", tt.limit, tt.nodes, tt.notReady, got.String(), tt.want)
		}
	}
	const nodes = 1000
	limit := desired.Replaced(&v1alpha1.EnforcerSpec{}, nodes, 0)
	// The DaemonSet controller resolves a percentage in this way.
	pods, err := intstr.GetScaledValueFromIntOrPercent(&limit, nodes, true)
	if err != nil || nodes/pods > 10 {
		t.Errorf("%d pods at a time (%v), want at most 10 batches", pods, err)
	}
}
