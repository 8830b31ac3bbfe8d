package tree_test

import (
	"fmt"
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/selection"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/test/cluster"
)

// BenchmarkEvaluateTiers evaluates the same flows without and with 200 ClusterNetworkPolicies, of
// which 100 are in the Admin tier. Most of their rules match no flow, so an evaluation usually
// searches all three tiers.
func BenchmarkEvaluateTiers(b *testing.B) {
	for _, policies := range []int{0, 200} {
		b.Run(fmt.Sprintf("pods=100000/policies=10000/clusterpolicies=%d", policies), func(b *testing.B) {
			c := cluster.NewRealistic(1, cluster.Size{Pods: 100_000, Policies: 10_000, DualStack: true})
			builder := build.New(cluster.LocalNode)
			if err := builder.Apply(deltaOf(b, c, clusterPolicies(policies)...)); err != nil {
				b.Fatal(err)
			}
			tr := newFixture(b).publish(b, builder)
			flows := c.Flows(1, 1<<14, 0.5)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				tr.Evaluate(flows[i&(len(flows)-1)])
				i++
			}
			b.ReportMetric(float64(tr.Size()), "file-bytes")
		})
	}
}

// clusterPolicies returns n policies that select the pods of all namespaces. The policies
// alternate between the Admin and the Baseline tier. Each policy has three rules per direction:
// one that accepts flows of pods, one that denies flows of a network, and one with action Pass.
func clusterPolicies(n int) []*policy.Policy {
	var out []*policy.Policy
	for i := range n {
		p := &policy.Policy{Name: fmt.Sprintf("policy-%d", i), Tier: rule.AdminTier, Priority: int32(i)}
		if i%2 == 1 {
			p.Tier = rule.BaselineTier
		}
		port := policy.Port{Protocol: flow.TCP, First: uint16(20_000 + i), Last: uint16(20_001 + i)}
		network := netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i), 0}), 24)
		for _, direction := range []rule.Direction{rule.Egress, rule.Ingress} {
			rules := []policy.Rule{
				{Action: rule.ActionAccept, Peers: []policy.Peer{{PodSet: policy.PodSet{Pods: withLabel("app", fmt.Sprintf("app-%d", i))}}}, Ports: []policy.Port{port}},
				{Action: rule.ActionDeny, Peers: []policy.Peer{{Block: &policy.Block{CIDR: policy.CIDR{Prefix: network}}}}},
				{Action: rule.ActionPass, Peers: []policy.Peer{{PodSet: policy.PodSet{Pods: withLabel("tier", "cache")}}}, Ports: []policy.Port{port}},
			}
			for j := range rules {
				rules[j].Tier, rules[j].Direction = p.Tier, direction
			}
			if direction == rule.Ingress {
				p.Ingress = rules
			} else {
				p.Egress = rules
			}
		}
		out = append(out, p)
	}
	return out
}

// withLabel returns a selector that requires one value of a label.
func withLabel(key, value string) label.Selector {
	return label.NewSelector([]label.Requirement{{Key: key, Operator: selection.Equals, Values: []string{value}}})
}
