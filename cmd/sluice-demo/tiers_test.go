package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
	"github.com/sluicenet/sluice/dataplane/report"
)

// expectedByTiers contains the expected results for the example with tiers. They follow from the
// text of the example's policies.
const expectedByTiers = `
	any       -> any                  allowed
	prod/*    -> prod/web             denied
	dev/*     -> prod/web             denied
	prod/*    -> dev/tool             denied
	dev/*     -> dev/tool             denied
	any       -> dev/api              denied
	dev/tool  -> dev/api              allowed
	any       -> prod/db              denied
	prod/web  -> any                  denied
	prod/web  -> prod/db TCP 5432     allowed
	prod/web  -> 203.0.113.10 TCP 443 allowed
	dev/*     -> 203.0.113.10         denied
	dev/*     -> 198.51.100.10        denied
	node      -> any                  allowed
`

// TestTiersOnTheWire checks the results of the example with tiers, and which rules decided some of
// the connections.
func TestTiersOnTheWire(t *testing.T) {
	r := runJSON(t, "", "--example", "tiers")
	if len(r.Rounds) != 3 {
		t.Fatalf("%d rounds, want the first and two changes", len(r.Rounds))
	}
	wantRound(t, r.Rounds[0], expectedByTiers)
	wantRound(t, r.Rounds[1], expectedByTiers+`
		dev/* -> prod/db TCP 5432 allowed
	`)
	wantRound(t, r.Rounds[2], expectedByTiers)
	for _, want := range []struct{ from, to, protocol, egress, ingress string }{
		{"dev/tool", "prod/db", "TCP 5432", "NotIsolated", "Deny by Admin production[0]"},
		{"prod/web", "prod/db", "TCP 5432", "Allow by prod/web[0]", "Allow by prod/db[0]"},
		{"prod/web", "203.0.113.10", "TCP 443", "passed by Admin internet-by-network-policies[0], Allow by prod/web[1]", "External"},
		{"prod/web", "198.51.100.10", "TCP 443", "passed by Admin internet-by-network-policies[0], NoRuleMatched", "External"},
		{"dev/tool", "203.0.113.10", "TCP 443", "Deny by Admin no-internet[0]", "External"},
		{"prod/db", "dev/tool", "TCP 5432", "NotIsolated", "Deny by Baseline default-deny[0]"},
		{"dev/tool", "dev/api", "TCP 443", "NotIsolated", "Allow by dev/api[0]"},
	} {
		found := false
		for _, c := range r.Rounds[0].Connections {
			if c.From == want.from && c.To == want.to && fmt.Sprintf("%s %d", c.Protocol, c.Port) == want.protocol {
				found = true
				if egress, ingress := decided(&c.Egress), decided(&c.Ingress); egress != want.egress || ingress != want.ingress {
					t.Errorf("%s -> %s %s: %s | %s, want %s | %s", c.From, c.To, want.protocol, egress, ingress, want.egress, want.ingress)
				}
			}
		}
		if !found {
			t.Errorf("no connection %+v", want)
		}
	}
	if open := r.Rounds[2].Open; len(open) == 0 || !cutByTier(open) {
		t.Errorf("open connections %v, want one that the restored policy cuts", open)
	}
}

// decided returns a short text about a side.
func decided(s *report.Side) (text string) {
	for _, p := range s.Passed {
		text += fmt.Sprintf("passed by %s %s[%d], ", p.Tier, p.Policy, p.Rule)
	}
	if s.Rule == nil {
		return text + s.Reason
	}
	if s.Tier != "" {
		return text + fmt.Sprintf("%s by %s %s[%d]", s.Verdict, s.Tier, *s.Policy, *s.Rule)
	}
	return text + fmt.Sprintf("%s by %s[%d]", s.Verdict, *s.Policy, *s.Rule)
}

func cutByTier(open []*wire.Open) bool {
	for _, o := range open {
		if strings.HasPrefix(o.From, "dev/") && o.To == "prod/db" && !o.Continues {
			return true
		}
	}
	return false
}

// TestTiersPageNamesTheTier checks that the page states which tier decided.
func TestTiersPageNamesTheTier(t *testing.T) {
	page := runDemo(t, "", "--example", "tiers")
	for _, want := range []string{
		"denied by production, spec.ingress[0] (Admin tier)",
		"denied by no-internet, spec.egress[0] (Admin tier)",
		"passed to the next tier by internet-by-network-policies, spec.egress[0] (Admin tier)",
		"denied by default-deny, spec.ingress[0] (Baseline tier)",
		"allowed by prod/db, spec.ingress[0]",
		"$ kubectl delete clusternetworkpolicy production",
		"Results and policies agree for all",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain %q:\n%s", want, page)
		}
	}
}
