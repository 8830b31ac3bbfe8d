package query_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/test/cluster"
)

// evaluate calls EvaluateLines with flows and returns the output.
func evaluate(c *query.Cluster, flows string) (decisions string, err error) {
	var out strings.Builder
	err = c.EvaluateLines(strings.NewReader(flows), "flows", &out)
	return out.String(), err
}

func TestEvaluateLines(t *testing.T) {
	c := newCluster(t, cluster.TwoNodes)
	tests := []struct {
		name, flow, want string
	}{
		{
			"allowed by a rule", `{"src":"10.0.1.1","dst":"10.0.2.1","protocol":"TCP","port":5432}`,
			`{"verdict":"Allow","egress":{"verdict":"Allow","reason":"NotIsolated","policy":null,"rule":null},"ingress":{"verdict":"Allow","reason":"Rule","policy":"default/db","rule":0,"isolatedBy":["default/db"]}}`,
		},
		{
			"the other family", `{"src":"fd00:1::1","dst":"fd00:2::1","protocol":"tcp","port":5432}`,
			`{"verdict":"Allow","egress":{"verdict":"Allow","reason":"NotIsolated","policy":null,"rule":null},"ingress":{"verdict":"Allow","reason":"Rule","policy":"default/db","rule":0,"isolatedBy":["default/db"]}}`,
		},
		{
			"no rule", `{"src":"10.0.1.1","dst":"10.0.2.1","protocol":"UDP","port":5432}`,
			`{"verdict":"Deny","egress":{"verdict":"Allow","reason":"NotIsolated","policy":null,"rule":null},"ingress":{"verdict":"Deny","reason":"NoRuleMatched","policy":null,"rule":null,"isolatedBy":["default/db"]}}`,
		},
		{
			"ICMP has no port", `{"src":"203.0.113.1","dst":"10.0.2.1","protocol":"ICMP"}`,
			`{"verdict":"Deny","egress":{"verdict":"Allow","reason":"External","policy":null,"rule":null},"ingress":{"verdict":"Deny","reason":"NoRuleMatched","policy":null,"rule":null,"isolatedBy":["default/db"]}}`,
		},
		{
			"a protocol by number", `{"src":"10.0.2.1","dst":"203.0.113.1","protocol":47}`,
			`{"verdict":"Allow","egress":{"verdict":"Allow","reason":"NotIsolated","policy":null,"rule":null},"ingress":{"verdict":"Allow","reason":"External","policy":null,"rule":null}}`,
		},
		{
			"S40 the pod's own node", `{"src":"192.168.0.2","dst":"10.0.2.1","protocol":"TCP","port":80}`,
			`{"verdict":"Allow","egress":{"verdict":"Allow","reason":"External","policy":null,"rule":null},"ingress":{"verdict":"Allow","reason":"SameNode","policy":null,"rule":null}}`,
		},
		{
			"S40 another node", `{"src":"192.168.0.1","dst":"10.0.2.1","protocol":"TCP","port":80}`,
			`{"verdict":"Deny","egress":{"verdict":"Allow","reason":"External","policy":null,"rule":null},"ingress":{"verdict":"Deny","reason":"NoRuleMatched","policy":null,"rule":null,"isolatedBy":["default/db"]}}`,
		},
		{
			"S41 itself", `{"src":"10.0.2.1","dst":"10.0.2.1","protocol":"SCTP","port":9,"note":"kept for its writer"}`,
			`{"verdict":"Allow","egress":{"verdict":"Allow","reason":"SamePod","policy":null,"rule":null},"ingress":{"verdict":"Allow","reason":"SamePod","policy":null,"rule":null}}`,
		},
	}
	var flows, want strings.Builder
	for _, test := range tests {
		flows.WriteString(test.flow + "\n")
		want.WriteString(test.want + "\n")
		t.Run(test.name, func(t *testing.T) {
			got, err := evaluate(c, test.flow+"\n")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want+"\n", got); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
			if !json.Valid([]byte(got)) {
				t.Errorf("%s is not JSON", got)
			}
		})
	}
	t.Run("empty lines", func(t *testing.T) {
		if got, err := evaluate(c, "\n \t\r\n"+flows.String()+" \n"); err != nil || got != want.String() {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("the order of the flows", func(t *testing.T) {
		if got, err := evaluate(c, strings.Repeat(flows.String(), 200)); err != nil || got != strings.Repeat(want.String(), 200) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

func TestEvaluateLinesStopsAtALineThatIsNotAFlow(t *testing.T) {
	c := newCluster(t, cluster.TwoNodes)
	const good = `{"src":"10.0.1.1","dst":"10.0.2.1","protocol":"TCP","port":5432}` + "\n"
	tests := map[string]struct{ flow, want string }{
		"no JSON":           {`10.0.0.1 10.0.0.2`, `not a flow: invalid character '.' after top-level value; want {"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80}`},
		"a list":            {`[{"src":"10.0.0.1"}]`, `not a flow: is a list; want {"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80}`},
		"a text":            {`"10.0.0.1"`, `not a flow: is a string; want {"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80}`},
		"no src":            {`{"dst":"10.0.0.2","protocol":"TCP","port":80}`, "src: missing; want an IP address"},
		"no address":        {`{"src":"10.0.0.1","dst":"web","protocol":"TCP","port":80}`, `dst: "web" is not an IP address`},
		"a zone":            {`{"src":"fe80::1%eth0","dst":"fe80::2","protocol":"TCP","port":80}`, `src: "fe80::1%eth0" has a zone; write the address without %eth0`},
		"two families":      {`{"src":"10.0.0.1","dst":"fd00::1","protocol":"TCP","port":80}`, "src 10.0.0.1 and dst fd00::1: one is IPv4 and the other IPv6; a flow has one family"},
		"a mapped address":  {`{"src":"10.0.0.1","dst":"::ffff:10.0.0.2","protocol":"TCP","port":80}`, "src 10.0.0.1 and dst ::ffff:10.0.0.2: one is IPv4 and the other IPv6; a flow has one family"},
		"no protocol":       {`{"src":"10.0.0.1","dst":"10.0.0.2","port":80}`, "protocol: missing; want TCP, UDP, SCTP, ICMP or a number"},
		"unknown protocol":  {`{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TPC","port":80}`, `protocol "TPC": want TCP, UDP, SCTP, ICMP, ICMPv6 or a number from 0 to 255`},
		"no port":           {`{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"SCTP"}`, "port: missing; SCTP needs the destination port"},
		"port of no number": {`{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":"80"}`, "port: is a string, must be a whole number"},
		"port of a part":    {`{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80.5}`, "port: is a number 80.5, must be a whole number"},
		"port too large":    {`{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":70000}`, "port: 70000 is not a port; want 0 to 65535"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := evaluate(c, good+"\n"+test.flow+"\n"+good)
			var wrong *query.InputError
			if want := "flows:3: " + test.want; !errors.As(err, &wrong) || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
			if strings.Count(got, "\n") != 1 {
				t.Errorf("decisions %q, want the one for the line before", got)
			}
		})
	}
}
