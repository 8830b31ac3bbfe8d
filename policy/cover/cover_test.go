package cover_test

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/cover"
	"github.com/sluicenet/sluice/policy/read"
)

// rules returns the egress rules of a ClusterNetworkPolicy. Each text contains the peers and the
// protocols of a rule in YAML.
func rules(t *testing.T, texts ...string) []policy.Rule {
	t.Helper()
	text := "{spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: ["
	for _, rule := range texts {
		text += fmt.Sprintf("{action: Deny, %s}, ", rule)
	}
	var object unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(text+"]}}"), &object.Object); err != nil {
		t.Fatal(err)
	}
	p, errors := read.ClusterNetworkPolicy(&object)
	if errors != nil {
		t.Fatal(errors)
	}
	return p.Egress
}

func TestRule(t *testing.T) {
	const all, red = "to: [{namespaces: {}}]", "to: [{namespaces: {matchLabels: {team: red}}}]"
	for _, tt := range []struct {
		a, b string
		// The `covers` field is true if `a` covers `b`. The `back` field is true if `b` covers `a`.
		covers, back bool
	}{
		{all, all, true, true},
		{all, red, true, false},
		{"to: [{namespaces: {matchLabels: {team: blue}}}]", red, false, false},
		{red, "to: [{pods: {namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: db}}}}]", true, false},
		{"to: [{networks: [10.0.0.0/8]}]", "to: [{networks: [10.1.0.0/16, 10.2.0.0/16]}]", true, false},
		{"to: [{networks: [10.0.0.0/8]}]", "to: [{networks: [10.1.0.0/16, 11.0.0.0/8]}]", false, false},
		{"to: [{networks: [0.0.0.0/0]}]", "to: [{networks: ['::/0']}]", false, false},
		{"to: [{networks: [0.0.0.0/0]}]", all, false, false},
		{"to: [{nodes: {}}]", "to: [{nodes: {matchLabels: {role: edge}}}]", true, false},
		{"to: [{nodes: {}}]", all, false, false},
		{all, all + ", protocols: [{tcp: {destinationPort: {number: 80}}}]", true, false},
		{all + ", protocols: [{tcp: {destinationPort: {range: {start: 1, end: 90}}}}]", all + ", protocols: [{tcp: {destinationPort: {number: 80}}}]", true, false},
		{all + ", protocols: [{udp: {destinationPort: {number: 80}}}]", all + ", protocols: [{tcp: {destinationPort: {number: 80}}}]", false, false},
		{all + ", protocols: [{tcp: {destinationPort: {range: {start: 1, end: 65535}}}}, {udp: {destinationPort: {range: {start: 1, end: 65535}}}}, {sctp: {destinationPort: {range: {start: 1, end: 65535}}}}]", all + ", protocols: [{destinationNamedPort: http}]", true, false},
		{all + ", protocols: [{destinationNamedPort: dns}]", all + ", protocols: [{destinationNamedPort: http}]", false, false},
	} {
		r := rules(t, tt.a, tt.b)
		if got := cover.Rule(&r[0], &r[1]); got != tt.covers {
			t.Errorf("%s covers %s: %t, want %t", tt.a, tt.b, got, tt.covers)
		}
		if got := cover.Rule(&r[1], &r[0]); got != tt.back {
			t.Errorf("%s covers %s: %t, want %t", tt.b, tt.a, got, tt.back)
		}
	}
}

func TestPortsOverlap(t *testing.T) {
	port := func(text string) []policy.Port {
		return rules(t, "to: [{namespaces: {}}], protocols: ["+text+"]")[0].Ports
	}
	range1 := port("{tcp: {destinationPort: {range: {start: 1, end: 90}}}}")
	for text, want := range map[string]bool{
		"{tcp: {destinationPort: {number: 90}}}": true, "{tcp: {destinationPort: {number: 91}}}": false,
		"{udp: {destinationPort: {range: {start: 1, end: 65535}}}}": false, "{tcp: {destinationPort: {range: {start: 1, end: 65535}}}}": true, "{destinationNamedPort: http}": false,
	} {
		if got := cover.PortsOverlap(range1, port(text)); got != want {
			t.Errorf("%s overlaps: %t, want %t", text, got, want)
		}
	}
	if named := port("{destinationNamedPort: http}"); !cover.PortsOverlap(named, named) || !cover.PortsOverlap(nil, named) {
		t.Error("equal names and an empty list do not overlap")
	}
}
