package report_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// namer resolves every matched rule to rule 2 of policy shop/web.
type namer struct{}

func (namer) Pod(netip.Addr) (string, bool) { return "", false }

func (namer) Rule(s rule.Side) (rule.Source, bool) {
	if s.Ref.Rule == 7 {
		return rule.Source{Tier: rule.BaselineTier, Policy: "last", Index: 1, Action: rule.ActionDeny}, true
	}
	return rule.Source{Tier: rule.NetworkPolicyTier, Policy: "shop/web", Index: 2, Action: rule.ActionAccept}, s.Reason == rule.Matched
}

func (namer) Passed(s rule.Side) []rule.Source {
	if s.Ref.Rule == 7 {
		return []rule.Source{{Tier: rule.AdminTier, Policy: "first", Index: 3, Action: rule.ActionPass}}
	}
	return nil
}

func (namer) IsolatedBy(s rule.Side) []string {
	if s.Reason == rule.NotIsolated {
		return nil
	}
	return []string{"shop/deny", "shop/web"}
}

func TestSideHasOneJSONForm(t *testing.T) {
	notMatched := report.SideOf(namer{}, rule.Side{Verdict: rule.Deny, Reason: rule.NoRuleMatched})
	notMatched.NearMisses = report.NearMissesOf([]rule.NearMiss{
		{Source: rule.Source{Tier: rule.NetworkPolicyTier, Policy: "shop/web", Index: 1}, Differs: rule.PortPart, Ports: []rule.Ports{
			{Protocol: 6, First: 80, Last: 80}, {Protocol: 6, First: 8000, Last: 8080}, {Protocol: 17, First: 0, Last: 65535},
		}},
		{Source: rule.Source{Tier: rule.NetworkPolicyTier, Policy: "shop/web"}, Differs: rule.PeerPart},
	})
	for name, test := range map[string]struct {
		side report.Side
		want string
	}{
		"a rule decided": {
			report.SideOf(namer{}, rule.Side{Verdict: rule.Allow, Reason: rule.Matched}),
			`{"verdict":"Allow","reason":"Rule","policy":"shop/web","rule":2,"isolatedBy":["shop/deny","shop/web"]}`,
		},
		"no rule matched": {
			notMatched,
			`{"verdict":"Deny","reason":"NoRuleMatched","policy":null,"rule":null,"isolatedBy":["shop/deny","shop/web"],"nearMisses":[` +
				`{"policy":"shop/web","rule":1,"differs":"port","ports":["TCP 80","TCP 8000-8080","every UDP port"]},` +
				`{"policy":"shop/web","rule":0,"differs":"peer"}]}`,
		},
		"without a namer": {
			report.SideOf(nil, rule.Side{Verdict: rule.Allow, Reason: rule.Matched}),
			`{"verdict":"Allow","reason":"Rule","policy":null,"rule":null}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(test.side)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
