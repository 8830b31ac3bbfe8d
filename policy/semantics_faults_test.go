package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/test/stage"
)

func invalidRows() map[string]row {
	rows := map[string]row{
		"S60 an error in a peer invalidates its rule only": {shop, map[string]string{
			"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [
				{from: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/33}}], ports: [{port: 1}]},
				{from: [{podSelector: {}}], ports: [{port: 2}]}]}`,
			"shop/q": `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 3}]}]}`,
		}, `
			shop/web -> shop/db TCP 1 | NotIsolated | Denied by shop/p shop/q
			shop/web -> shop/db TCP 2 | NotIsolated | Rule shop/p[1]
			shop/web -> shop/db TCP 3 | NotIsolated | Rule shop/q[0]
		`},
		"S60 an error in a port invalidates its rule": {shop, map[string]string{
			"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 80}, {port: 90, endPort: 89}]}, {ports: [{port: 81}]}]}`,
		}, `
			shop/web -> shop/db TCP 80 | NotIsolated | Denied by shop/p
			shop/web -> shop/db TCP 90 | NotIsolated | Denied by shop/p
			shop/web -> shop/db TCP 81 | NotIsolated | Rule shop/p[1]
		`},
		"S60 an error in the podSelector removes that requirement": {shop, map[string]string{
			"shop/p": `{podSelector: {matchLabels: {app: db}, matchExpressions: [{key: tier, operator: In}]}}`,
			"lab/p":  `{podSelector: {matchExpressions: [{key: app, operator: Is, values: [web]}]}}`,
		}, `
			shop/web -> shop/db  TCP 80 | NotIsolated | Denied by shop/p
			shop/db  -> shop/web TCP 80 | NotIsolated | NotIsolated
			shop/web -> lab/web  TCP 80 | NotIsolated | Denied by lab/p
			shop/web -> lab/bare TCP 80 | NotIsolated | Denied by lab/p
		`},
		"S60 an unknown policy type isolates both directions": {shop, map[string]string{
			"shop/p": `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingres], ingress: [{ports: [{port: 80}]}]}`,
		}, `
			shop/web -> shop/db  TCP 80 | NotIsolated      | Rule shop/p[0]
			shop/web -> shop/db  TCP 81 | NotIsolated      | Denied by shop/p
			shop/db  -> shop/web TCP 80 | Denied by shop/p | NotIsolated
		`},
		"S60 an except that equals its cidr is valid and leaves nothing": {shop, map[string]string{
			"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}, {podSelector: {}}]}]}`,
		}, `
			lab/web  -> shop/db TCP 80 | NotIsolated | Denied by shop/p
			shop/web -> shop/db TCP 80 | NotIsolated | Rule shop/p[0]
		`},
		"S60 host bits in a cidr do not matter": {shop, map[string]string{
			"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 172.17.3.4/16, except: [172.17.1.9/24]}}]}]}`,
		}, `
			172.17.0.1 -> shop/db TCP 80 | External | Rule shop/p[0]
			172.17.1.1 -> shop/db TCP 80 | External | Denied by shop/p
		`},
		"S60 leading zeros in a cidr do not matter": {shop, map[string]string{
			"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 172.016.0.0/16, except: [172.16.010.0/024]}}]}]}`,
		}, `
			172.16.0.1 -> shop/db TCP 80 | External | Rule shop/p[0]
			172.14.0.1 -> shop/db TCP 80 | External | Denied by shop/p
			172.16.10.1 -> shop/db TCP 80 | External | Denied by shop/p
		`},
	}
	// The invalid part is always in the first of two rules. The second rule must still take
	// effect.
	errors := map[string]string{
		"an invalid cidr":                   `from: [{namespaceSelector: {}}, {ipBlock: {cidr: ten}}]`,
		"a cidr without a length":           `from: [{namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.1}}]`,
		"a mapped cidr":                     `from: [{namespaceSelector: {}}, {ipBlock: {cidr: "::ffff:10.0.0.0/104"}}]`,
		"an except outside its cidr":        `from: [{namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]`,
		"an except wider than its cidr":     `from: [{namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/7]}}]`,
		"an except of the other family":     `from: [{namespaceSelector: {}}, {ipBlock: {cidr: 0.0.0.0/0, except: ["fd00::/16"]}}]`,
		"an ipBlock with a selector":        `from: [{namespaceSelector: {}}, {podSelector: {}, ipBlock: {cidr: 0.0.0.0/0}}]`,
		"a peer without a field":            `from: [{namespaceSelector: {}}, {}]`,
		"In without values":                 `from: [{namespaceSelector: {}}, {podSelector: {matchExpressions: [{key: app, operator: In}]}}]`,
		"NotIn without values":              `from: [{namespaceSelector: {}}, {podSelector: {matchExpressions: [{key: app, operator: NotIn}]}}]`,
		"Exists with values":                `from: [{namespaceSelector: {}}, {podSelector: {matchExpressions: [{key: app, operator: Exists, values: [web]}]}}]`,
		"DoesNotExist with values":          `from: [{namespaceSelector: {}}, {namespaceSelector: {matchExpressions: [{key: app, operator: DoesNotExist, values: [web]}]}}]`,
		"an unknown operator":               `from: [{namespaceSelector: {}}, {namespaceSelector: {matchExpressions: [{key: team, operator: Equals, values: [red]}]}}]`,
		"an invalid label key":              `from: [{namespaceSelector: {}}, {podSelector: {matchExpressions: [{key: "-a", operator: DoesNotExist}]}}]`,
		"an invalid label value":            `from: [{namespaceSelector: {}}, {podSelector: {matchExpressions: [{key: a, operator: NotIn, values: ["a b"]}]}}]`,
		"port 0":                            `ports: [{port: 0}, {port: 80}]`,
		"port 65536":                        `ports: [{port: 65536}, {port: 80}]`,
		"an endPort below its port":         `ports: [{port: 81, endPort: 80}, {port: 80}]`,
		"an endPort above 65535":            `ports: [{port: 80, endPort: 65536}]`,
		"an endPort without a port":         `ports: [{endPort: 80}, {port: 80}]`,
		"an endPort with a name":            `ports: [{port: postgres, endPort: 6000}, {port: 80}]`,
		"a port name in capitals":           `ports: [{port: HTTP}, {port: 80}]`,
		"a port name that is a number":      `ports: [{port: "80"}, {port: 80}]`,
		"an empty port name":                `ports: [{port: ""}, {port: 80}]`,
		"a port name of sixteen characters": `ports: [{port: abcdefghijklmnop}, {port: 80}]`,
		"a protocol without ports":          `ports: [{protocol: ICMP}, {port: 80}]`,
		"a protocol in lower case":          `ports: [{protocol: tcp}, {port: 80}]`,
	}
	for name, invalid := range errors {
		rows["S60 "+name] = row{shop, map[string]string{
			"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{` + invalid + `}, {ports: [{port: 9090}]}]}`,
		}, `
			shop/web -> shop/db TCP 80   | NotIsolated | Denied by shop/p
			shop/web -> shop/db TCP 9090 | NotIsolated | Rule shop/p[1]
			shop/web -> shop/db ICMP     | NotIsolated | Denied by shop/p
		`}
	}
	return rows
}

// errorsAreReportedOnce checks that every error belongs to the invalid policy, contains the
// field, and is reported only once. TestFieldErrorsNameFieldAndFix tests the messages.
func errorsAreReportedOnce(t *testing.T) {
	s := newFixture(t, shop,
		stage.Policy(t, "shop/good", denyAll),
		stage.Policy(t, "shop/bad", `{podSelector: {matchExpressions: [{key: a, operator: Is}]}, ingress: [{}, {from: [{podSelector: {}}, {ipBlock: {cidr: ten}}], ports: [{port: 0}]}]}`))
	problems := func() (fields []string) {
		for _, p := range s.snapshot.Policies() {
			for _, e := range p.Errors {
				if p.String() != "shop/bad" || e.Message == "" {
					t.Errorf("error %v of %s, want one of shop/bad with a message", e, p)
				}
				fields = append(fields, e.Field)
			}
		}
		return fields
	}
	want := []string{"spec.podSelector.matchExpressions[0].operator", "spec.ingress[1].ports[0].port", "spec.ingress[1].from[1].ipBlock.cidr"}
	if diff := cmp.Diff(want, problems()); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	s.set(stage.Policy(t, "shop/bad", denyAll))
	if got := problems(); len(got) > 0 {
		t.Errorf("still there after the fix:  %v", got)
	}
}
