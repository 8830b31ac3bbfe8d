package policy_test

import (
	"testing"

	"github.com/sluicenet/sluice/test/tiers"
)

// TestTiers tests the rows S70 to S84 twice. In the first test, the policies exist from the start.
// In the second test, they are added after the trees without the policies have been published, in
// the opposite order.
func TestTiers(t *testing.T) {
	for _, r := range tiers.Rows() {
		t.Run(r.Name, func(t *testing.T) {
			newFixture(t, r.Objects).want(r.Want)
			late := newFixture(t, r.Objects)
			policies := late.objects.ClusterNetworkPolicies
			for _, p := range policies {
				late.remove(p)
			}
			late.publish()
			for i := len(policies) - 1; i >= 0; i-- {
				late.set(policies[i])
			}
			late.want(r.Want)
		})
	}
}

// S81: a tree marks only those directions of a pod in which a policy can deny a flow, because only
// the packets of these directions are queued.
func TestDirectionsThatCanDeny(t *testing.T) {
	for name, test := range map[string]struct {
		policies        string
		egress, ingress bool
	}{
		"S81 no policy":                          {"", false, false},
		"S81 Accept and Pass for all pods":       {"- {admin: a, subject: {namespaces: {}}, egress: [{action: Accept, to: [{networks: [0.0.0.0/0]}]}], ingress: [{action: Pass, from: [{namespaces: {}}]}]}", false, false},
		"S81 Deny for one direction":             {"- {baseline: a, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}]}]}", true, false},
		"S81 Deny for other pods":                {"- {admin: a, subject: {namespaces: {matchLabels: {team: blue}}}, egress: [{action: Deny, to: [{namespaces: {}}]}]}", false, false},
		"S81 a Pass rule that is not understood": {"- {admin: a, subject: {namespaces: {}}, ingress: [{action: Pass, from: [{}]}]}", false, true},
		"S81 a NetworkPolicy":                    {"- {policy: shop/a, spec: {podSelector: {}}}", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "- {namespace: shop}\n- {node: one}\n- {pod: shop/web}\n"+test.policies)
			f.publish()
			f.checkPods()
			for _, n := range f.nodes {
				for pod := range n.tree.Pods() {
					if pod.DeniesEgress != test.egress || pod.DeniesIngress != test.ingress {
						t.Errorf("pod %s: can deny egress %t, ingress %t", pod.Name, pod.DeniesEgress, pod.DeniesIngress)
					}
				}
			}
		})
	}
}

// S83: a policy that is removed, as when its CustomResourceDefinition is removed, has no effect.
func TestRemovedPolicies(t *testing.T) {
	t.Run("S83 policies are removed", func(t *testing.T) {
		f := newFixture(t, `
- {namespace: shop}
- {node: one}
- {pod: shop/web}
- {pod: shop/db}
- {admin: guard, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}
- {baseline: floor, subject: {namespaces: {}}, egress: [{action: Deny, to: [{nodes: {}}]}]}
`)
		f.want("shop/web -> shop/db TCP 80 | NotIsolated | Deny Admin guard[0]\nshop/web -> node:one TCP 80 | Deny Baseline floor[0] | External")
		for _, p := range f.objects.ClusterNetworkPolicies {
			f.remove(p)
		}
		f.want("shop/web -> shop/db TCP 80 | NotIsolated | NotIsolated\nshop/web -> node:one TCP 80 | NotIsolated | External")
	})
}
