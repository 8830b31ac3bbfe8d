package policystatus_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// TestFindingsDoNotNameOtherNamespaces checks that a user who can create policies and read
// PolicyStatuses in one namespace cannot find out which pods exist in another namespace. The
// policies of the test contain addresses, labels and ports of a pod in the other namespace.
func TestFindingsDoNotNameOtherNamespaces(t *testing.T) {
	tenant, vault := newFixture(t), newFixture(t)
	tenant.createPod(t, "web", "tenants-a", "10.8.0.1")
	secret := vault.createPod(t, "vault", "tenants-b", "10.8.0.7")
	label := func(app string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
	}
	// The rule {} causes a finding in any case, so the test can wait for the check of the policy.
	probes := map[string]networkingv1.NetworkPolicySpec{}
	for name, peer := range map[string]networkingv1.NetworkPolicyPeer{
		"address":   {IPBlock: &networkingv1.IPBlock{CIDR: "10.8.0.7/32"}},
		"block":     {IPBlock: &networkingv1.IPBlock{CIDR: "10.8.0.6/31"}},
		"label":     {PodSelector: label("vault")},
		"namespace": {NamespaceSelector: &metav1.LabelSelector{}, PodSelector: label("vault")},
		"no-match":  {NamespaceSelector: &metav1.LabelSelector{}, PodSelector: label("nothing")},
	} {
		peers := []networkingv1.NetworkPolicyPeer{peer}
		port := []networkingv1.NetworkPolicyPort{{Port: &intstr.IntOrString{Type: intstr.String, StrVal: "https"}}}
		probes[name] = networkingv1.NetworkPolicySpec{
			PodSelector: *label("web"),
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: peers}, {}},
			Egress:      []networkingv1.NetworkPolicyEgressRule{{To: peers, Ports: port}},
		}
	}
	subject := probes["no-match"]
	subject.PodSelector = *label("vault")
	probes["subject"] = subject
	for name, spec := range probes {
		must(t, tenant.Create(t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: tenant.namespace, Name: name}, Spec: spec}))
	}
	startWriter(t)
	for name := range probes {
		got := tenant.wantStatus(t, name, func(p *v1alpha1.PolicyStatus) error {
			if !slices.ContainsFunc(p.Status.Findings, func(f v1alpha1.Finding) bool { return f.Check == "rule-allows-all" }) {
				return fmt.Errorf("not checked yet")
			}
			return nil
		})
		text, err := json.Marshal(got.Status)
		must(t, err)
		for _, private := range []string{vault.namespace, secret.Name, "tenants-b", "10.8.0.7 is"} {
			if strings.Contains(string(text), private) {
				t.Errorf("the status of policy %s contains %q: %s", name, private, text)
			}
		}
		for _, f := range got.Status.Findings {
			if f.Check == "block-of-pod" || f.Check == "no-such-port" || f.Check == "no-namespace-matched" {
				t.Errorf("policy %s: a finding shows what exists in another namespace: %+v", name, f)
			}
		}
	}
}

// TestStartingPodWritesNoStatus checks that the start of a pod causes no write for a policy of
// another namespace, even if an ipBlock of the policy contains the pod's address.
func TestStartingPodWritesNoStatus(t *testing.T) {
	const policies = 20
	f, other := newFixture(t), newFixture(t)
	f.createPod(t, "web", "", "10.9.0.1")
	for i := range policies {
		must(t, f.Create(t.Context(), &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: fmt.Sprintf("wide-%d", i)},
			Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{
				{IPBlock: &networkingv1.IPBlock{CIDR: "10.9.0.0/16"}},
			}}}},
		}))
	}
	writer := startWriter(t)
	for i := range policies {
		f.wantStatus(t, fmt.Sprintf("wide-%d", i), func(p *v1alpha1.PolicyStatus) error {
			if !slices.ContainsFunc(p.Status.Findings, func(f v1alpha1.Finding) bool { return f.Check == "block-of-pod" }) {
				return fmt.Errorf("not checked yet")
			}
			return nil
		})
	}
	settled := writer.writes.Load()
	other.createPod(t, "web", "", "10.9.0.2")
	// Once the status of this policy contains a finding, the operator has also checked the
	// policies of the other namespace against the new pod.
	canary := other.createPolicy(t, "canary", "nothing")
	other.wantStatus(t, canary.Name, func(p *v1alpha1.PolicyStatus) error {
		if len(p.Status.Findings) == 0 {
			return fmt.Errorf("not checked yet")
		}
		return nil
	})
	// These are the writes for the policy `canary`: the creation of its PolicyStatus and a few
	// updates.
	if writes := writer.writes.Load() - settled; writes >= policies/2 {
		t.Errorf("%d writes after a pod started in another namespace, want a few for one policy", writes)
	}
}
