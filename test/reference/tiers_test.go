package reference

import (
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/stage"
	"github.com/sluicenet/sluice/test/tiers"
)

func TestTiers(t *testing.T) {
	for _, row := range tiers.Rows() {
		t.Run(row.Name, func(t *testing.T) {
			objects := stage.Objects(t, row.Objects)
			for _, e := range stage.Expectations(t, row.Want) {
				for _, f := range stage.Flows(t, &objects, &e) {
					got := Evaluate(objects, f)
					if got.Egress.String() != e.Egress || got.Ingress.String() != e.Ingress {
						t.Errorf("%s\n%s: got %s | %s", e.Line, f, got.Egress, got.Ingress)
					}
					if denied := denies(got.Egress) || denies(got.Ingress); denied != (got.Verdict == rule.Deny) {
						t.Errorf("%s\n%s: verdict %s", e.Line, f, got.Verdict)
					}
				}
			}
		})
	}
}

func denies(s Side) bool { return s.Reason == rule.NoRuleMatched || s.Action == rule.ActionDeny }

// A direction of a pod needs a queue only if a policy can deny a flow in this direction (S81).
func TestMayDeny(t *testing.T) {
	const pod = "- {pod: shop/web, labels: {app: web}}\n- {namespace: shop}\n"
	for name, test := range map[string]struct {
		policies        string
		egress, ingress bool
	}{
		"S81 no policy":                          {"", false, false},
		"S81 Accept and Pass":                    {"- {admin: a, subject: {namespaces: {}}, egress: [{action: Accept, to: [{namespaces: {}}]}], ingress: [{action: Pass, from: [{namespaces: {}}]}]}", false, false},
		"S81 Deny":                               {"- {baseline: a, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}]}]}", true, false},
		"S81 Deny of other pods":                 {"- {admin: a, subject: {namespaces: {matchLabels: {a: b}}}, egress: [{action: Deny, to: [{namespaces: {}}]}]}", false, false},
		"S81 a Pass rule that is not understood": {"- {admin: a, subject: {namespaces: {}}, ingress: [{action: Pass, from: [{}]}]}", false, true},
		"S81 an isolating NetworkPolicy":         {"- {policy: shop/a, spec: {podSelector: {}}}", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			objects := stage.Objects(t, pod+test.policies)
			address := netip.MustParseAddr("10.0.0.1")
			egress, ingress := MayDeny(objects, address, rule.Egress), MayDeny(objects, address, rule.Ingress)
			if egress != test.egress || ingress != test.ingress {
				t.Errorf("egress %t, ingress %t", egress, ingress)
			}
		})
	}
}
