package manifest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
)

// clusterPolicyYAML returns a ClusterNetworkPolicy with one rule. The `more` parameter contains further
// lines of the rule.
func clusterPolicyYAML(version, name, more string) string {
	return fmt.Sprintf(`apiVersion: policy.networking.k8s.io/%s
kind: ClusterNetworkPolicy
metadata:
  name: %s
spec:
  tier: Baseline
  priority: 7
  subject: {namespaces: {}}
  egress:
  - action: Accept
    to: [{namespaces: {}}]
    protocols: [{tcp: {destinationPort: {number: 80}}}]
%s`, version, name, more)
}

func TestReadClusterNetworkPolicy(t *testing.T) {
	set, err := read(clusterPolicyYAML("v1beta1", "a", ""))
	if err != nil {
		t.Fatal(err)
	}
	p := set.Policies[0]
	if p.Tier != rule.BaselineTier || p.Priority != 7 || len(p.Egress) != 1 || p.Egress[0].Ports[0].First != 80 || p.Errors != nil {
		t.Errorf("policy %+v, errors %v", p.Policy, p.Errors)
	}
	if want := (inventory.Origin{File: "standard input", Line: 1}); p.Origin != want {
		t.Errorf("origin %s, want %s", p.Origin, want)
	}
}

// TestClusterNetworkPolicyThatIsNotUnderstood tests row S77 of docs/semantics.md. A newer version
// of the API can define the unknown field. Therefore, the error belongs to the policy, and Read
// returns no error.
func TestClusterNetworkPolicyThatIsNotUnderstood(t *testing.T) {
	set, err := read(clusterPolicyYAML("v1beta1", "a", "    schedule: nights\n"))
	if err != nil {
		t.Fatal(err)
	}
	p := set.Policies[0]
	if !p.Egress[0].Invalid || len(p.Errors) != 1 || p.Errors[0].Field != "spec.egress[0].schedule" {
		t.Errorf("rule %+v, errors %v", p.Egress[0], p.Errors)
	}
}

func TestClusterNetworkPolicyErrors(t *testing.T) {
	valid := clusterPolicyYAML("v1beta1", "a", "")
	for text, want := range map[string]string{
		strings.Replace(valid, "v1beta1", "v1", 1):                                `standard input:1: ClusterNetworkPolicy a: apiVersion: "policy.networking.k8s.io/v1" is not served by any supported Kubernetes; write apiVersion: policy.networking.k8s.io/v1beta1`,
		strings.Replace(valid, "Cluster", "cluster", 1):                           `kind: "clusterNetworkPolicy" does not exist; write kind: ClusterNetworkPolicy`,
		strings.Replace(valid, "name: a", "name: A_b", 1):                         `standard input:4: ClusterNetworkPolicy A_b: metadata.name: "A_b" is not a valid name`,
		valid + "---\n" + strings.Replace(valid, "priority: 7", "priority: 8", 1): "ClusterNetworkPolicy a: is in the input twice with different content, first at standard input:1",
		`{"apiVersion":"policy.networking.k8s.io/v1beta1","kind":"ClusterNetworkPolicy","metadata":{"name":"a"},"spec":{"tier":"Admin","tier":"Baseline"}}`: "spec.tier: the field is given twice",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s; for\n%s", err, want, text)
		}
	}
}

// TestReadNamesPoliciesThatAreNotEvaluated checks that a note lists the policies of the kinds in
// inventory.NotEvaluatedKinds.
func TestReadNamesPoliciesThatAreNotEvaluated(t *testing.T) {
	old := "---\napiVersion: policy.networking.k8s.io/v1alpha1\nkind: %sAdminNetworkPolicy\nmetadata: {name: %s}\nspec: {priority: 1}\n"
	set, err := read(clusterPolicyYAML("v1beta1", "a", "") + fmt.Sprintf(old, "", "a") + fmt.Sprintf(old, "", "b") + fmt.Sprintf(old, "Baseline", "default"))
	if err != nil {
		t.Fatal(err)
	}
	want := []inventory.Skipped{{Kind: "AdminNetworkPolicy", Count: 2}, {Kind: "BaselineAdminNetworkPolicy", Count: 1}}
	if diff := cmp.Diff(want, set.NotEvaluated); diff != "" || len(set.Skipped) > 0 {
		t.Errorf("skipped %v, not evaluated (-want +got):\n%s", set.Skipped, diff)
	}
	const note = "not evaluated: 2 AdminNetworkPolicy, 1 BaselineAdminNetworkPolicy. Sluice does not enforce these kinds of policies; convert AdminNetworkPolicies to ClusterNetworkPolicies"
	if !slices.Contains(set.Notes(), note) {
		t.Errorf("notes %q, want %q", set.Notes(), note)
	}
	// A kind with the same name in another API group is a different kind.
	set, err = read(clusterPolicyYAML("v1beta1", "a", "") + strings.Replace(fmt.Sprintf(old, "", "a"), "policy.networking", "example", 1))
	if err != nil || len(set.NotEvaluated) > 0 || len(set.Skipped) != 1 {
		t.Errorf("error %v, not evaluated %v, skipped %v", err, set.NotEvaluated, set.Skipped)
	}
}
