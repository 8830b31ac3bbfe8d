package policy_test

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/selection"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/test/cluster"
)

// BenchmarkPolicyChange measures the time from a change of a policy until the new tree is
// published. The cluster has 200 ClusterNetworkPolicies. The benchmark changes a NetworkPolicy of
// a local pod, or a ClusterNetworkPolicy that selects all pods.
func BenchmarkPolicyChange(b *testing.B) {
	size := cluster.Size{Pods: 100_000, Policies: 10_000}
	objects := reduce(b, size)
	namespace := ""
	for _, p := range objects.pods {
		if p.Node == cluster.LocalNode && p.Labels.Has("tier") {
			namespace = p.Namespace
		}
	}
	for kind, p := range map[string]*policy.Policy{
		"NetworkPolicy": {
			Scope: namespace, Name: "changing", Tier: rule.NetworkPolicyTier,
			Subject: policy.PodSet{Namespace: namespace}, Isolates: [2]bool{rule.Ingress: true},
		},
		"ClusterNetworkPolicy": {Name: "changing", Tier: rule.AdminTier, Priority: 500},
	} {
		b.Run(sizeName(size)+"/"+kind, func(b *testing.B) {
			n := objects.compile(b, newPublisher(b))
			for i := range 200 {
				tier := rule.AdminTier
				if i%2 == 1 {
					tier = rule.BaselineTier
				}
				n.snapshot.UpsertPolicy(changed(&policy.Policy{Name: fmt.Sprintf("policy-%d", i), Tier: tier, Priority: int32(i)}, i))
			}
			n.publish(b)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				n.snapshot.UpsertPolicy(changed(p, i))
				n.publish(b)
				i++
			}
		})
	}
}

// changed returns a copy of a policy with one ingress rule, whose port depends on i.
func changed(p *policy.Policy, i int) *policy.Policy {
	out := *p
	port := uint16(1 + i%1000)
	out.Ingress = []policy.Rule{{
		Tier: p.Tier, Direction: rule.Ingress, Action: rule.ActionAccept,
		Peers: []policy.Peer{{PodSet: policy.PodSet{Pods: label.NewSelector([]label.Requirement{
			{Key: "app", Operator: selection.Equals, Values: []string{fmt.Sprintf("app-%d", i%200)}},
		})}}},
		Ports: []policy.Port{{Protocol: flow.TCP, First: port, Last: port}},
	}}
	return &out
}
