package cluster_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/reference"
)

const guard = `
apiVersion: policy.networking.k8s.io/%s
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  egress:
  - action: Deny
    to: [{networks: [10.0.0.0/8]}, {nodes: {matchLabels: {zone: a}}}]
    protocols: [{tcp: {destinationPort: {range: {start: 80, end: 90}}}}, {destinationNamedPort: http}]
`

// This test checks row S83: both served versions of a policy have the same meaning.
func TestBothVersionsOfAClusterPolicy(t *testing.T) {
	var specs []string
	for _, version := range cluster.ClusterPolicyVersions() {
		policy, err := cluster.DecodeClusterPolicy(fmt.Sprintf(guard, version))
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := cluster.EncodeClusterPolicy(policy, version)
		if err != nil {
			t.Fatal(err)
		}
		if want := "policy.networking.k8s.io/" + version; encoded.GetAPIVersion() != want || encoded.GetKind() != "ClusterNetworkPolicy" {
			t.Errorf("encoded as %s %s, want version %s", encoded.GetAPIVersion(), encoded.GetKind(), want)
		}
		specs = append(specs, fmt.Sprint(encoded.Object["spec"]))
	}
	if diff := cmp.Diff(specs[0], specs[1]); diff != "" {
		t.Errorf("the versions differ:\n%s", diff)
	}
}

func TestDecodeClusterPolicyRejects(t *testing.T) {
	manifest := fmt.Sprintf(guard, "v1beta1")
	for name, text := range map[string]string{
		"another version":  fmt.Sprintf(guard, "v1"),
		"another kind":     strings.Replace(manifest, "ClusterNetworkPolicy", "AdminNetworkPolicy", 1),
		"an unknown field": strings.Replace(manifest, "networks:", "asns:", 1),
	} {
		if _, err := cluster.DecodeClusterPolicy(text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestTieredFlowsAreDecidedEverywhere checks that random clusters with tiers cover every kind of
// decision: every tier decides some flows with each of its actions, and some flows are decided
// after a Pass rule of each tier.
func TestTieredFlowsAreDecidedEverywhere(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(200) {
		r := cluster.NewTiered(cluster.Seeded(seed))
		for range 4 {
			r.Step()
		}
		for i := range 40 {
			decision := reference.Evaluate(r.Objects, r.Flow(4+i%2*2))
			for _, side := range []reference.Side{decision.Egress, decision.Ingress} {
				seen[describe(side)]++
				for _, pass := range side.Passes {
					seen["after Pass "+pass.Tier.String()]++
				}
			}
		}
	}
	t.Logf("%v", seen)
	for _, what := range []string{
		"Accept Admin", "Deny Admin", "Accept NetworkPolicy", "NoRuleMatched", "Accept Baseline", "Deny Baseline",
		"NotIsolated", "SameNode", "SamePod", "External", "after Pass Admin", "after Pass Baseline",
	} {
		if seen[what] < 50 {
			t.Errorf("%s: only %d times", what, seen[what])
		}
	}
}

func describe(side reference.Side) string {
	switch {
	case side.Reason != rule.Matched:
		return side.Reason.String()
	case side.Action == rule.ActionAccept:
		return "Accept " + side.Tier.String()
	default:
		return "Deny " + side.Tier.String()
	}
}
