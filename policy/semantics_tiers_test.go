package policy_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// S81: a tree marks a direction of a pod only if a policy can deny a flow in this direction,
// because only the packets of marked directions are queued.
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

// S83: a removed policy has no effect. A policy is also removed when its CustomResourceDefinition
// is removed.
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

// S56a: a ClusterNetworkPolicy applies to a pod until the pod's sandbox ends, even if the pod's
// namespace is deleted earlier. The policy selects the pod by the labels of this namespace.
func TestTiersUntilTheSandboxEnds(t *testing.T) {
	guard := `
	- {admin: guard, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}, egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]}
	`
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	pod := func(s *fixture) { s.remove(s.pod("shop/web")) }
	object := func(s *fixture) { s.remove(namespace) }
	// The policy has another priority, but the same effect.
	change := func(s *fixture) {
		p := s.objects.ClusterNetworkPolicies[0].DeepCopy()
		p.Spec.Priority++
		s.set(p)
	}
	for name, steps := range map[string][]func(*fixture){
		"S56a the pod first":              {pod, object, change},
		"S56a the namespace first":        {object, change, pod},
		"S56a a new namespace is created": {pod, object, func(s *fixture) { s.set(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}) }, change},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t, shop+guard)
			s.edit("shop/web", func(p *corev1.Pod) { p.UID = "w1" })
			s.sandboxes(sandbox(s.pod("shop/web"), "10.0.0.1"))
			for _, step := range steps {
				step(s)
				s.want(`10.0.0.1 -> 8.8.8.8 TCP 443 | Deny Admin guard[0] | External`)
			}
			s.sandboxes()
			s.want(`10.0.0.1 -> 8.8.8.8 TCP 443 | External | External`)
		})
	}
}
