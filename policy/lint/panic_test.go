package lint

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// TestCheckThatPanics checks that a panic in a check ends neither the process nor the other
// checks, and that it is reported.
func TestCheckThatPanics(t *testing.T) {
	defer func(all []Check) { checks = all }(checks)
	broken := Check{Name: "broken", Severities: []Severity{Note}, Scopes: []Scope{ScopePolicy}, run: func(p *pass) {
		if p.Name == "bad" {
			panic("out of order")
		}
	}}
	checks = append([]Check{broken}, checks...)
	nothing := policy.PodSet{Namespace: "shop", Pods: label.NewSelector([]label.Requirement{{Key: "app", Operator: "exists"}})}
	findings, err := RunNamespace(Namespace{Policies: []*policy.Policy{
		{Name: "bad", Scope: "shop", Subject: nothing}, {Name: "good", Scope: "shop", Subject: nothing},
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
