package read_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/selection"
	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/read"
)

// clusterPolicy returns a ClusterNetworkPolicy named p with a spec that is given as JSON.
func clusterPolicy(t testing.TB, spec string) *unstructured.Unstructured {
	t.Helper()
	var out unstructured.Unstructured
	text := `{"apiVersion":"policy.networking.k8s.io/v1beta1","kind":"ClusterNetworkPolicy","metadata":{"name":"p","uid":"u","generation":3},"spec":` + spec + `}`
	if err := out.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatalf("spec %s: %v", spec, err)
	}
	return &out
}

// admin returns the spec of an Admin policy for all pods, with lists that are given as JSON.
func admin(lists string) string {
	return `{"tier":"Admin","priority":5,"subject":{"namespaces":{}},` + lists + `}`
}

func equals(key, value string) label.Selector {
	return label.NewSelector([]label.Requirement{{Key: key, Operator: selection.Equals, Values: []string{value}}})
}

func block(text string) *policy.Block {
	return &policy.Block{CIDR: policy.CIDR{Prefix: netip.MustParsePrefix(text), Text: text}}
}

// compared contains the options with which package cmp compares parsed policies.
var compared = cmp.Options{
	cmpopts.EquateComparable(label.Selector{}, netip.Prefix{}), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(policy.Policy{}, "Errors"),
}

func TestClusterNetworkPolicy(t *testing.T) {
	every := label.NewSelector(nil)
	got, errors := read.ClusterNetworkPolicy(clusterPolicy(t, `{
		"tier":"Baseline","priority":7,"subject":{"pods":{"namespaceSelector":{"matchLabels":{"team":"red"}},"podSelector":{"matchLabels":{"app":"db"}}}},
		"ingress":[
			{"name":"web","action":"Accept","from":[{"namespaces":{"matchLabels":{"team":"blue"}}},{"pods":{"podSelector":{"matchLabels":{"app":"web"}}}}],
			 "protocols":[{"tcp":{"destinationPort":{"number":80}}},{"destinationNamedPort":"dns"}]},
			{"action":"Deny","from":[{"namespaces":{}}],"protocols":[{"udp":{"destinationPort":{"range":{"start":1,"end":9}}}},{"sctp":{"destinationPort":{"range":{"start":1,"end":65535}}}}]}],
		"egress":[{"action":"Pass","to":[{"networks":["10.0.0.0/8","fd00::/8"]},{"nodes":{"matchLabels":{"role":"edge"}}}]}]}`))
	if errors != nil {
		t.Error(errors)
	}
	baseline := rule.BaselineTier
	want := &policy.Policy{
		Name: "p", UID: "u", Generation: 3, Tier: baseline, Priority: 7,
		Subject: policy.PodSet{Namespaces: equals("team", "red"), Pods: equals("app", "db")},
		Ingress: []policy.Rule{
			{
				Tier: baseline, Direction: rule.Ingress, Action: rule.ActionAccept, Name: "web", Field: "spec.ingress[0]",
				Peers: []policy.Peer{
					{PodSet: policy.PodSet{Namespaces: equals("team", "blue")}},
					{Entry: 1, PodSet: policy.PodSet{Namespaces: every, Pods: equals("app", "web")}},
				},
				Ports: []policy.Port{
					{Protocol: flow.TCP, First: 80, Last: 80},
					{Entry: 1, Protocol: flow.TCP, Name: "dns"},
					{Entry: 1, Protocol: flow.UDP, Name: "dns"},
					{Entry: 1, Protocol: flow.SCTP, Name: "dns"},
				},
			},
			{
				Tier: baseline, Direction: rule.Ingress, Action: rule.ActionDeny, Field: "spec.ingress[1]",
				Peers: []policy.Peer{{PodSet: policy.PodSet{Namespaces: every}}},
				Ports: []policy.Port{{Protocol: flow.UDP, First: 1, Last: 9}, {Entry: 1, Protocol: flow.SCTP, First: 1, Last: 65535}},
			},
		},
		Egress: []policy.Rule{{
			Tier: baseline, Direction: rule.Egress, Action: rule.ActionPass, Field: "spec.egress[0]",
			Peers: []policy.Peer{{Block: block("10.0.0.0/8")}, {Block: block("fd00::/8")}, {Entry: 1, OfNodes: true, Nodes: equals("role", "edge")}},
		}},
	}
	if diff := cmp.Diff(want, got, compared); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
}

// TestBothVersionsMeanTheSame tests row S83 of docs/semantics.md.
func TestBothVersionsMeanTheSame(t *testing.T) {
	in := clusterPolicy(t, admin(`"egress":[{"action":"Accept","to":[{"networks":["10.0.0.0/8"]}]}]`))
	want, _ := read.ClusterNetworkPolicy(in)
	in.SetAPIVersion("policy.networking.k8s.io/v1alpha2")
	got, errors := read.ClusterNetworkPolicy(in)
	if diff := cmp.Diff(want, got, compared); diff != "" || errors != nil {
		t.Errorf("errors %v, policy of v1alpha2 (-v1beta1 +v1alpha2):\n%s", errors, diff)
	}
}

// unreadable lists parts of rules that cannot be understood. In each part, LIST stands for the list of
// peers.
var unreadable = map[string]struct {
	// direction is "ingress" or "egress". An empty direction means egress.
	direction, rule string
	field, message  string
}{
	"unknown peer":              {rule: `"LIST":[{"services":{}}]`, field: "LIST[0].services", message: "the field is unknown"},
	"unknown second field":      {rule: `"LIST":[{"namespaces":{},"except":["10.0.0.0/8"]}]`, field: "LIST[0].except", message: "the field is unknown"},
	"unknown field in a peer":   {rule: `"LIST":[{"pods":{"podSelector":{},"serviceAccounts":{}}}]`, field: "LIST[0].pods.serviceAccounts", message: "the field is unknown"},
	"unknown selector field":    {rule: `"LIST":[{"namespaces":{"matchFields":[]}}]`, field: "LIST[0].namespaces.matchFields", message: "the field is unknown"},
	"field of other case":       {rule: `"LIST":[{"Namespaces":{}}]`, field: "LIST[0].Namespaces", message: "the field is unknown"},
	"empty peer":                {rule: `"LIST":[{}]`, field: "LIST[0]", message: "none of the supported fields"},
	"no peer":                   {rule: `"LIST":[]`, field: "LIST", message: "missing or empty"},
	"peers missing":             {rule: `"name":"x"`, field: "LIST", message: "missing or empty"},
	"peers of a wrong type":     {rule: `"LIST":{}`, field: "LIST", message: "missing or empty"},
	"peer of a wrong type":      {rule: `"LIST":["x"]`, field: "LIST[0]", message: "the value is a JSON string"},
	"two kinds of peers":        {rule: `"LIST":[{"namespaces":{},"pods":{"podSelector":{}}}]`, field: "LIST[0]", message: "write one entry for each field"},
	"pods without selector":     {rule: `"LIST":[{"pods":{"namespaceSelector":{}}}]`, field: "LIST[0].pods.podSelector", message: "write {} to select all pods"},
	"selector operator":         {rule: `"LIST":[{"namespaces":{"matchExpressions":[{"key":"a","operator":"Is"}]}}]`, field: "LIST[0].namespaces.matchExpressions[0].operator", message: "want In, NotIn"},
	"selector of a wrong type":  {rule: `"LIST":[{"namespaces":{"matchLabels":{"a":1}}}]`, field: "LIST[0].namespaces.matchLabels", message: "the value is a JSON number"},
	"networks from":             {direction: "ingress", rule: `"LIST":[{"networks":["10.0.0.0/8"]}]`, field: "LIST[0].networks", message: "the field is unknown"},
	"nodes from":                {direction: "ingress", rule: `"LIST":[{"nodes":{}}]`, field: "LIST[0].nodes", message: "the field is unknown"},
	"no network":                {rule: `"LIST":[{"networks":[]}]`, field: "LIST[0]", message: "none of the supported fields"},
	"network":                   {rule: `"LIST":[{"networks":["10.0.0.0/8","10.0.0.0"]}]`, field: "LIST[0].networks[1]", message: "is not a CIDR"},
	"network with host bits":    {rule: `"LIST":[{"networks":["10.0.0.1/8"]}]`, field: "LIST[0].networks[0]", message: "write 10.0.0.0/8"},
	"mapped network":            {rule: `"LIST":[{"networks":["::ffff:10.0.0.0/104"]}]`, field: "LIST[0].networks[0]", message: "write it as IPv4"},
	"node selector":             {rule: `"LIST":[{"nodes":{"matchLabels":{"a":"-"}}}]`, field: "LIST[0].nodes.matchLabels[a]", message: "must"},
	"unknown protocol":          {rule: `"LIST":[{"namespaces":{}}],"protocols":[{"icmp":{}}]`, field: "protocols[0].icmp", message: "the field is unknown"},
	"unknown field of protocol": {rule: `"LIST":[{"namespaces":{}}],"protocols":[{"tcp":{"sourcePort":{"number":1}}}]`, field: "protocols[0].tcp.sourcePort", message: "the field is unknown"},
	"empty protocol":            {rule: `"LIST":[{"namespaces":{}}],"protocols":[{}]`, field: "protocols[0]", message: "none of the supported fields"},
	"no protocol":               {rule: `"LIST":[{"namespaces":{}}],"protocols":[]`, field: "protocols", message: "leave out the list"},
	"two protocols":             {rule: `"LIST":[{"namespaces":{}}],"protocols":[{"tcp":{},"udp":{}}]`, field: "protocols[0]", message: "write one entry for each field"},
	"port 65536":                {rule: `"LIST":[{"namespaces":{}}],"protocols":[{"tcp":{"destinationPort":{"number":65536}}}]`, field: "protocols[0].tcp.destinationPort", message: "want 1 to 65535"},
	"port above 32 bits":        {rule: `"LIST":[{"namespaces":{}}],"protocols":[{"tcp":{"destinationPort":{"number":4294967376}}}]`, field: "protocols[0].tcp.destinationPort.number", message: "the value is a JSON number"},
	"protocol without ports":    {rule: `"LIST":[{"namespaces":{}}],"protocols":[{"tcp":{}}]`, field: "protocols[0].tcp.destinationPort", message: "write {range: {start: 1, end: 65535}} for every port"},
	"empty port":                {rule: `"LIST":[{"namespaces":{}}],"protocols":[{"udp":{"destinationPort":{}}}]`, field: "protocols[0].udp.destinationPort", message: "exactly one of number and range"},
	"reversed range":            {rule: `"LIST":[{"namespaces":{}}],"protocols":[{"sctp":{"destinationPort":{"range":{"start":9,"end":1}}}}]`, field: "protocols[0].sctp.destinationPort.range.end", message: "want 9 (the start) to 65535"},
	"port name":                 {rule: `"LIST":[{"namespaces":{}}],"protocols":[{"destinationNamedPort":"not_a_name"}]`, field: "protocols[0].destinationNamedPort", message: "not a port name"},
	"unknown field of rule":     {rule: `"LIST":[{"namespaces":{}}],"schedule":"nights"`, field: "schedule", message: "the field is unknown"},
	"rule name":                 {rule: `"LIST":[{"namespaces":{}}],"name":7`, field: "name", message: "the value is a JSON number"},
}

// TestRuleThatIsNotUnderstoodFailsClosed tests row S77 of docs/semantics.md.
func TestRuleThatIsNotUnderstoodFailsClosed(t *testing.T) {
	for name, tt := range unreadable {
		for _, action := range []string{"Accept", "Deny", "Pass"} {
			t.Run(name+"/"+action, func(t *testing.T) {
				d, list := rule.Egress, "to"
				if tt.direction == "ingress" {
					d, list = rule.Ingress, "from"
				}
				withList := func(s string) string { return strings.ReplaceAll(s, "LIST", list) }
				valid := fmt.Sprintf(`{"action":"Accept",%q:[{"namespaces":{}}]}`, list)
				p, _ := read.ClusterNetworkPolicy(clusterPolicy(t, admin(fmt.Sprintf(`%q:[{"action":%q,%s},%s]`, d, action, withList(tt.rule), valid))))
				checkFailsClosed(t, &p.Rules(d)[0], action)
				if next := p.Rules(d)[1]; next.Invalid || next.Action != rule.ActionAccept || len(next.Peers) != 1 {
					t.Errorf("the next rule changed: %+v", next)
				}
				at := fmt.Sprintf("spec.%s[0].%s", d, withList(tt.field))
				if len(p.Errors) != 1 || p.Errors[0].Field != at || !strings.Contains(p.Errors[0].Message, tt.message) {
					t.Errorf("errors %v, want one at %s with %q", p.Errors, at, tt.message)
				}
			})
		}
	}
}

// checkFailsClosed checks the effect of a rule that cannot be understood.
func checkFailsClosed(t *testing.T, r *policy.Rule, action string) {
	t.Helper()
	if action == "Accept" {
		if !r.Invalid {
			t.Errorf("%+v is valid", r)
		}
		return
	}
	if r.Invalid || r.Action != rule.ActionDeny || len(r.Peers) > 0 || len(r.Ports) > 0 {
		t.Errorf("%+v, want a rule that denies everything", r)
	}
}

func TestRuleWithoutAKnownActionDenies(t *testing.T) {
	for _, text := range []string{`{"action":"Log","to":[{"namespaces":{}}]}`, `{"to":[{"namespaces":{}}]}`, `{"action":1,"to":[{"namespaces":{}}]}`, `"x"`, `null`} {
		p, _ := read.ClusterNetworkPolicy(clusterPolicy(t, admin(`"egress":[`+text+`]`)))
		checkFailsClosed(t, &p.Egress[0], "Deny")
		if len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Field, "spec.egress[0]") || !strings.Contains(p.Errors[0].Message, "the rule denies every connection") {
			t.Errorf("%s: errors %v", text, p.Errors)
		}
	}
	p, _ := read.ClusterNetworkPolicy(clusterPolicy(t, admin(`"egress":{"action":"Accept"}`)))
	if len(p.Egress) != 1 || !p.Egress[0].Invalid || p.Egress[0].Field != "spec.egress" {
		t.Errorf("rules %+v, want one rule that matches nothing", p.Egress)
	}
}

// TestDomainNames tests row S82 of docs/semantics.md.
func TestDomainNames(t *testing.T) {
	const names, pods = `{"domainNames":["example.com"]}`, `{"namespaces":{}}`
	tests := []struct {
		action, peers string
		// matches is true if the rule still matches pods.
		matches bool
	}{
		{"Accept", names + "," + pods, true}, {"Accept", names, false}, {"Deny", names + "," + pods, false}, {"Pass", names, false},
	}
	for _, tt := range tests {
		p, _ := read.ClusterNetworkPolicy(clusterPolicy(t, admin(`"egress":[{"action":"`+tt.action+`","to":[`+tt.peers+`]}]`)))
		r := &p.Egress[0]
		if !tt.matches {
			checkFailsClosed(t, r, tt.action)
		} else if r.Invalid || len(r.Peers) != 1 || r.Peers[0].Entry != 1 {
			t.Errorf("%s %s: %+v, want a rule with peer 1", tt.action, tt.peers, r)
		}
		if len(p.Errors) != 1 || p.Errors[0].Field != "spec.egress[0].to[0].domainNames" {
			t.Errorf("%s %s: errors %v", tt.action, tt.peers, p.Errors)
		}
	}
}

// TestPolicyThatIsNotUnderstoodFailsClosed checks policies whose subject, tier or priority cannot
// be understood. Their Accept and Pass rules must not take effect, and their Deny rules must still
// apply.
func TestPolicyThatIsNotUnderstoodFailsClosed(t *testing.T) {
	tests := map[string]struct {
		spec           string
		field, message string
		subject        policy.PodSet
	}{
		"tier":                {`"tier":"Platform","priority":1,"subject":{"namespaces":{}}`, "spec.tier", "want Admin or Baseline", policy.PodSet{}},
		"no tier":             {`"priority":1,"subject":{"namespaces":{}}`, "spec.tier", "the field is missing", policy.PodSet{}},
		"no priority":         {`"tier":"Admin","subject":{"namespaces":{}}`, "spec.priority", "the field is missing", policy.PodSet{}},
		"priority":            {`"tier":"Admin","priority":1001,"subject":{"namespaces":{}}`, "spec.priority", "want 0 to 1000", policy.PodSet{}},
		"priority as text":    {`"tier":"Admin","priority":"1","subject":{"namespaces":{}}`, "spec.priority", "the value is a JSON string", policy.PodSet{}},
		"unknown field":       {`"tier":"Admin","priority":1,"subject":{"namespaces":{}},"exceptions":[]`, "spec.exceptions", "the field is unknown", policy.PodSet{}},
		"no subject":          {`"tier":"Admin","priority":1`, "spec.subject", "exactly one of", policy.PodSet{}},
		"unknown subject":     {`"tier":"Admin","priority":1,"subject":{"nodes":{}}`, "spec.subject.nodes", "the field is unknown", policy.PodSet{}},
		"two subjects":        {`"tier":"Admin","priority":1,"subject":{"namespaces":{},"pods":{"podSelector":{}}}`, "spec.subject", "exactly one of", policy.PodSet{}},
		"second subject":      {`"tier":"Admin","priority":1,"subject":{"namespaces":{"matchLabels":{"a":"b"}},"x":1}`, "spec.subject.x", "the field is unknown", policy.PodSet{}},
		"no podSelector":      {`"tier":"Admin","priority":1,"subject":{"pods":{"namespaceSelector":{}}}`, "spec.subject.pods.podSelector", "the field is missing", policy.PodSet{}},
		"subject requirement": {`"tier":"Admin","priority":1,"subject":{"namespaces":{"matchLabels":{"a":"b","c":"-"}}}`, "spec.subject.namespaces.matchLabels[c]", "must", policy.PodSet{Namespaces: equals("a", "b")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			const peers = `"to":[{"networks":["10.0.0.0/8"]}]`
			p, _ := read.ClusterNetworkPolicy(clusterPolicy(t, `{`+tt.spec+`,"egress":[{"action":"Accept",`+peers+`},{"action":"Deny",`+peers+`},{"action":"Pass",`+peers+`}]}`))
			if len(p.Errors) != 1 || p.Errors[0].Field != tt.field || !strings.Contains(p.Errors[0].Message, tt.message) {
				t.Errorf("errors %v, want one at %s with %q", p.Errors, tt.field, tt.message)
			}
			if !p.Egress[0].Invalid || p.Egress[1].Invalid || p.Egress[2].Invalid || p.Egress[2].Action != rule.ActionDeny || len(p.Egress[2].Peers) != 1 {
				t.Errorf("rules %+v", p.Egress)
			}
			if p.Tier != rule.AdminTier || p.Priority < 0 || p.Priority > 1000 {
				t.Errorf("tier %s, priority %d", p.Tier, p.Priority)
			}
			if p.Subject.Namespaces != tt.subject.Namespaces && (tt.subject.Namespaces.Present() || !p.Subject.Namespaces.Empty()) || p.Subject.Pods != tt.subject.Pods && !p.Subject.Pods.Empty() {
				t.Errorf("subject %s", &p.Subject)
			}
		})
	}
}

// TestUnknownFieldAnywhere adds an unknown field to a random object inside a valid policy.
func TestUnknownFieldAnywhere(t *testing.T) {
	spec := admin(`"egress":[{"action":"Accept","to":[{"pods":{"namespaceSelector":{"matchExpressions":[{"key":"a","operator":"Exists"}]},"podSelector":{"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]}}},
		{"networks":["10.0.0.0/8"]},{"nodes":{}}],"protocols":[{"tcp":{"destinationPort":{"range":{"start":1,"end":9}}}},{"udp":{"destinationPort":{"number":53}}}]}]`)
	rapid.Check(t, func(rt *rapid.T) {
		in := clusterPolicy(t, spec)
		objects := objectsIn(in.Object["spec"])
		objects[rapid.IntRange(0, len(objects)-1).Draw(rt, "object")]["unknown"] = int64(1)
		p, errors := read.ClusterNetworkPolicy(in)
		if len(errors) == 0 || !p.Egress[0].Invalid {
			text, _ := json.Marshal(in)
			rt.Fatalf("%s accepts: errors %v", text, errors)
		}
	})
}

// objectsIn returns all JSON objects in a value, except for maps of labels.
func objectsIn(in any) (out []map[string]any) {
	switch in := in.(type) {
	case map[string]any:
		out = append(out, in)
		for _, value := range in {
			out = append(out, objectsIn(value)...)
		}
	case []any:
		for _, value := range in {
			out = append(out, objectsIn(value)...)
		}
	}
	return out
}

// FuzzClusterNetworkPolicy checks that an Accept rule with an error matches nothing, and that every
// rule without peers denies.
func FuzzClusterNetworkPolicy(f *testing.F) {
	for _, tt := range unreadable {
		f.Add([]byte(admin(`"egress":[{"action":"Accept",` + strings.ReplaceAll(tt.rule, "LIST", "to") + `}]`)))
	}
	f.Add([]byte(`{"tier":"Baseline","subject":{"pods":{"podSelector":{}}},"ingress":[{"action":"Pass","from":[{"namespaces":{}}]}]}`))
	f.Fuzz(func(t *testing.T, spec []byte) {
		in := &unstructured.Unstructured{Object: map[string]any{}}
		var value any
		if json.Unmarshal(spec, &value) != nil {
			return
		}
		in.Object["spec"] = value
		p, errors := read.ClusterNetworkPolicy(in)
		rules := slices.Concat(p.Ingress, p.Egress)
		for i := range rules {
			checkFuzzed(t, p, &rules[i])
		}
		for _, e := range errors {
			if e.Field == "" || e.Message == "" {
				t.Errorf("error %q without field or message", e)
			}
		}
	})
}

func checkFuzzed(t *testing.T, p *policy.Policy, r *policy.Rule) {
	if r.Invalid {
		return
	}
	if r.Action != rule.ActionDeny && len(r.Peers) == 0 {
		t.Errorf("%s: a rule without peers does not deny", r.Field)
	}
	if r.Action == rule.ActionDeny {
		return
	}
	for _, e := range p.Errors {
		ofRule := strings.HasPrefix(e.Field, "spec.ingress") || strings.HasPrefix(e.Field, "spec.egress")
		if !ofRule || strings.HasPrefix(e.Field, r.Field+".") && !strings.HasSuffix(e.Field, ".domainNames") {
			t.Errorf("%s: action %d although %s", r.Field, r.Action, e)
		}
	}
}
