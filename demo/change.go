package demo

import (
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/policy"
)

// Change is something that happens in the cluster while the dataplane runs.
type Change struct {
	// Command is what a user would type for it.
	Command string
	Apply   func(*policy.Snapshot)
}

// ExampleChanges are changes for the example: a pod becomes a frontend, and the
// namespace default gets a default policy.
func ExampleChanges() []Change {
	deny := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default-deny-ingress"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
	}
	return []Change{
		{
			Command: "kubectl label pod dns role=frontend --overwrite",
			Apply:   func(s *policy.Snapshot) { label(s, "default", "dns", "role", "frontend") },
		},
		{
			Command: "kubectl apply -f default-deny-ingress.yaml",
			Apply:   func(s *policy.Snapshot) { s.UpsertPolicy(deny) },
		},
	}
}

// label changes a label of a pod.
func label(s *policy.Snapshot, namespace, name, key, value string) {
	for _, p := range s.Pods() {
		if p.Namespace == namespace && p.Name == name {
			p.Labels = p.Labels.With(key, value)
			s.UpsertPod(&p)
		}
	}
}

// changesFor takes the policy away that stands behind most refusals, and brings
// it back.
func changesFor(s *policy.Snapshot, cells []*Cell) []Change {
	refusals := map[string]int{}
	for _, c := range cells {
		for _, side := range []side{c.Egress, c.Ingress} {
			if !side.allows() {
				for _, name := range side.IsolatedBy {
					refusals[name]++
				}
			}
		}
	}
	var most *networkingv1.NetworkPolicy
	for _, np := range s.Policies() {
		if n := refusals[nameOf(np)]; n > 0 && (most == nil || n > refusals[nameOf(most)]) {
			most = np
		}
	}
	if most == nil {
		return nil
	}
	return []Change{
		{
			Command: fmt.Sprintf("kubectl delete networkpolicy %s --namespace %s", most.Name, most.Namespace),
			Apply:   func(s *policy.Snapshot) { s.DeletePolicy(most.Namespace, most.Name) },
		},
		{
			Command: fmt.Sprintf("kubectl apply -f %s.yaml", most.Name),
			Apply:   func(s *policy.Snapshot) { s.UpsertPolicy(most) },
		},
	}
}

func nameOf(np *networkingv1.NetworkPolicy) string { return np.Namespace + "/" + np.Name }
