package topology

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/cluster"
)

// The NetworkPolicy that the demo writes to a file must have the same effect as the enforced
// policy.
func TestNetworkPolicyMeansThePolicy(t *testing.T) {
	for seed := range uint64(200) {
		for _, in := range cluster.NewRandom(rand.New(rand.NewPCG(seed, 0)).IntN).Policies {
			want, errors := read.NetworkPolicy(in)
			if len(errors) > 0 {
				continue
			}
			got, errors := read.NetworkPolicy(networkPolicy(want))
			if len(errors) > 0 || !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: errors %v\ngot  %+v\nwant %+v", seed, errors, got, want)
			}
		}
	}
}
