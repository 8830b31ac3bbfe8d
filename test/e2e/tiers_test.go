package e2e_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/policy/read"
)

// setCluster creates a ClusterNetworkPolicy with a spec in YAML, or replaces the spec of an existing
// one.
func (s *fixture) setCluster(name, spec string) {
	s.t.Helper()
	var fields map[string]any
	s.must(yaml.Unmarshal([]byte(spec), &fields))
	p, faults := read.ClusterNetworkPolicy(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "policy.networking.k8s.io/v1beta1", "kind": "ClusterNetworkPolicy",
		"metadata": map[string]any{"name": name}, "spec": fields,
	}})
	if len(faults) > 0 {
		s.t.Fatalf("policy %s: %v", name, faults)
	}
	s.snapshot.UpsertPolicy(p)
}

// TestTiers checks the order of the tiers with real connections: S70 to S73 and S79.
func TestTiers(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{})
	s.setCluster("guard", `
tier: Admin
priority: 10
subject: {namespaces: {matchLabels: {team: shop}}}
ingress:
- {action: Pass, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: probe}}}}]}
- {action: Deny, from: [{namespaces: {matchLabels: {team: lab}}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}
- {action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: far}}}}]}
`)
	s.setCluster("default-deny", `
tier: Baseline
priority: 10
subject: {pods: {namespaceSelector: {matchLabels: {team: shop}}, podSelector: {matchLabels: {app: web}}}}
ingress:
- {action: Deny, from: [{namespaces: {}}]}
`)
	s.enforce()
	s.want(`
		lab/far   -> shop/web TCP 80 denied
		lab/far   -> shop/web TCP 81 allowed
		lab/probe -> shop/web TCP 80 denied
		shop/db   -> shop/web UDP 9  denied
		lab/probe -> shop/db  TCP 80 allowed
		outside   -> shop/web TCP 80 allowed
		node:one  -> shop/web TCP 80 allowed
		shop/web  -> lab/far  TCP 80 allowed
	`)
	s.set("shop/web", onlyProbe)
	s.enforce()
	s.want(`
		lab/probe -> shop/web TCP 8080 allowed
		lab/probe -> shop/web TCP 80 denied
		shop/db   -> shop/web UDP 9  denied
		lab/far   -> shop/web TCP 80 denied
		lab/far   -> shop/web TCP 81 allowed
	`)
}

// TestAcceptingTiersQueueNothing checks that a policy with only Accept and Pass rules has no cost
// (S81): no packet of the selected pods reaches a queue.
func TestAcceptingTiersQueueNothing(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{})
	s.setCluster("welcome", `
tier: Admin
priority: 1
subject: {namespaces: {}}
ingress: [{action: Accept, from: [{namespaces: {}}]}]
egress: [{action: Pass, to: [{networks: [0.0.0.0/0, "::/0"]}]}]
`)
	s.enforce()
	s.want(`
		lab/far   -> shop/web TCP 80 allowed
		shop/web  -> lab/far  TCP 80 allowed
		shop/db   -> shop/web UDP 9  allowed
	`)
	if got := s.plane.status(); got.IsolatedPods != 0 || got.Verdicts.Packets != 0 {
		t.Errorf("%d isolated pods and %d packets in queues, want none", got.IsolatedPods, got.Verdicts.Packets)
	}
}
