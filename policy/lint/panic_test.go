package lint

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// TestCheckThatPanics checks that a panic in a check ends neither the process nor the other
// checks, and that it is reported.
func TestCheckThatPanics(t *testing.T) {
	defer func(all []Check) { checks = all }(checks)
	broken := Check{Name: "broken", Severities: []Severity{Note}, Scopes: []Scope{ScopePolicy}, Run: func(p *check.Pass) {
		if p.Name == "bad" {
			panic("out of order")
		}
	}}
	checks = append([]Check{broken}, checks...)
	nothing := policy.PodSet{Namespace: "shop", Pods: label.NewSelector([]label.Requirement{{Key: "app", Operator: "exists"}})}
	findings, err := RunNamespace(Namespace{Policies: []*policy.Policy{
		{Name: "bad", Scope: "shop", Tier: rule.NetworkPolicyTier, Subject: nothing}, {Name: "good", Scope: "shop", Tier: rule.NetworkPolicyTier, Subject: nothing},
	}})
	if err == nil || !strings.Contains(err.Error(), "check broken of policy shop/bad: panic: out of order") || !strings.Contains(err.Error(), "panic_test.go") {
		t.Errorf("error %v, want one with the policy, the reason and the stack", err)
	}
	var got []string
	for _, f := range findings {
		got = append(got, f.Check+" "+f.Policy)
	}
	if want := []string{"no-pod-selected shop/bad", "check-failed shop/bad", "no-pod-selected shop/good"}; !slices.Equal(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
}

// TestChecksDeclareTheirScopes checks that the table of checks is complete. It also checks that a
// check whose only scope is ScopePolicy cannot use up the budget of a policy.
func TestChecksDeclareTheirScopes(t *testing.T) {
	policies := []*policy.Policy{{
		Scope: "shop", Tier: rule.NetworkPolicyTier, Ingress: make([]policy.Rule, 10), Egress: []policy.Rule{{Peers: make([]policy.Peer, 10)}},
	}}
	for _, c := range Checks() {
		if len(c.Scopes) == 0 || !slices.IsSorted(c.Scopes) || len(c.Severities) == 0 || c.Doc == "" {
			t.Errorf("check %+v, want scopes in ascending order, severities and a description", c)
		}
		if c.Run == nil || slices.Max(c.Scopes) > ScopePolicy {
			continue
		}
		withoutBudget := check.NewCluster(ScopeNamespace, check.Limits{Places: 3}, true)
		withoutBudget.AddPolicies(policies)
		found, _ := withoutBudget.Run([]Check{c}, withoutBudget.Policies)
		if slices.ContainsFunc(found, func(f Finding) bool { return f.Check == check.TooLarge.Name }) {
			t.Errorf("check %s needs a budget", c.Name)
		}
	}
}
