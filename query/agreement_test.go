package query_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/evaluation"
)

// compareWithReference evaluates each flow with a Cluster and with test/reference. The test fails if
// two decisions differ.
func compareWithReference(t *testing.T, objects *cluster.Objects, flows []flow.Flow) {
	t.Helper()
	c := newCluster(t, evaluation.Manifest(t, objects))
	var out strings.Builder
	if err := c.EvaluateLines(strings.NewReader(evaluation.Lines(flows)), "flows", &out); err != nil {
		t.Fatal(err)
	}
	if different, err := evaluation.Compare(objects, flows, strings.NewReader(out.String())); err != nil {
		t.Fatalf("%d decisions differ: %v", different, err)
	}
}

// TestDecisionsAgreeWithTheReference evaluates thousands of IPv4 and IPv6 flows in
// clusters with many similar objects, and compares each decision with
// test/reference.
func TestDecisionsAgreeWithTheReference(t *testing.T) {
	const flowsEach = 2000
	clusters := 40
	if testing.Short() {
		clusters = 8
	}
	for seed := range uint64(clusters) {
		t.Run(fmt.Sprintf("random/seed=%d", seed), func(t *testing.T) {
			random := cluster.NewTiered(cluster.Seeded(seed))
			for range 30 {
				random.Step()
			}
			flows := make([]flow.Flow, flowsEach)
			for i := range flows {
				flows[i] = random.Flow(4 + i%2*2)
			}
			compareWithReference(t, &random.Objects, flows)
		})
	}
	t.Run("realistic", func(t *testing.T) {
		realistic := cluster.NewRealistic(1, cluster.Size{Pods: 500, Policies: 60, Nodes: 4, DualStack: true})
		objects := realistic.Objects()
		compareWithReference(t, &objects, realistic.Flows(2, 2000, 0.5))
	})
}
