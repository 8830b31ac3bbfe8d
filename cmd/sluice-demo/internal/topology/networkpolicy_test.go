package topology

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"

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

// The ClusterNetworkPolicy that the demo writes to a file must also have the same effect as the
// enforced policy.
func TestClusterNetworkPolicyMeansThePolicy(t *testing.T) {
	compared := 0
	for seed := range uint64(200) {
		random := cluster.NewTiered(cluster.Seeded(seed))
		for range 5 {
			random.Step()
		}
		for _, in := range random.ClusterNetworkPolicies {
			want, errors := read.ClusterNetworkPolicy(encode(t, in))
			if len(errors) > 0 {
				continue
			}
			got, errors := read.ClusterNetworkPolicy(encode(t, clusterNetworkPolicy(want)))
			if len(errors) > 0 || !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: errors %v\ngot  %+v\nwant %+v", seed, errors, got, want)
			}
			compared++
		}
	}
	if compared < 100 {
		t.Errorf("%d policies are understood, want more", compared)
	}
}

func encode(t *testing.T, p *v1beta1.ClusterNetworkPolicy) *unstructured.Unstructured {
	t.Helper()
	out, err := cluster.EncodeClusterPolicy(p, v1beta1.GroupVersion.Version)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
