package compile_test

import (
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
	"github.com/sluicenet/sluice/policy/read"
)

// TestGenerationWithoutEffect checks a policy whose generation changes while its effect stays the
// same. No rule must change, but the snapshot must contain the new generation.
func TestGenerationWithoutEffect(t *testing.T) {
	s := policy.NewSnapshot()
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db", UID: "u", Generation: 1}}
	upsert := func() {
		p, _ := read.NetworkPolicy(np)
		s.UpsertPolicy(p)
	}
	upsert()
	s.UpsertPod(&policy.Pod{Namespace: "shop", Name: "db", UID: "db", Node: "n", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	c := compile.New(s, "n")
	defer c.Close()
	if first := c.Delta(); first.Empty() {
		t.Fatal("the first delta is empty")
	}
	np.Generation = 2
	upsert()
	if second := c.Delta(); !second.Empty() {
		t.Errorf("a generation without an effect changes rules: %+v", second)
	}
	if got := s.Policies()[0].Generation; got != 2 {
		t.Errorf("generation %d in the snapshot, want 2", got)
	}
}
