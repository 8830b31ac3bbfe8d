package policy_test

import (
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/stage"
)

// readJSON returns a policy named p in namespace shop with a spec that is given as JSON.
func readJSON(t testing.TB, spec string) *policy.Policy {
	t.Helper()
	p, _ := read.NetworkPolicy(stage.Policy(t, "shop/p", spec))
	return p
}

func TestRuleString(t *testing.T) {
	tests := map[string]string{
		`{}`: "ingress[0] from anywhere on every port",
		`{"from":[{"podSelector":{"matchLabels":{"role":"frontend"}}}],"ports":[{"port":6379}]}`:                                                                                                    "ingress[0] from pods role=frontend in namespace shop on TCP 6379",
		`{"from":[{"podSelector":{}},{"namespaceSelector":{}}],"ports":[{"protocol":"UDP"},{"port":"http"},{"port":1,"endPort":9}]}`:                                                                "ingress[0] from all pods in namespace shop or all pods in all namespaces on every UDP port or TCP http or TCP 1-9",
		`{"from":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"lab"}}}]}`:                                                                                                    "ingress[0] from all pods in namespace lab on every port",
		`{"from":[{"namespaceSelector":{"matchLabels":{"a":"b"}},"podSelector":{"matchExpressions":[{"key":"c","operator":"Exists"}]}}]}`:                                                           "ingress[0] from pods c in namespaces a=b on every port",
		`{"from":[{"ipBlock":{"cidr":"10.0.0.7/8","except":["10.1.0.0/16"]}}]}`:                                                                                                                     "ingress[0] from 10.0.0.7/8 except 10.1.0.0/16 on every port",
		`{"from":[{"ipBlock":{"cidr":"10.1.0.0/16"}},{"ipBlock":{"cidr":"10.2.0.0/16"}},{"ipBlock":{"cidr":"10.3.0.0/16"}},{"ipBlock":{"cidr":"10.4.0.0/16"}},{"ipBlock":{"cidr":"10.5.0.0/16"}}]}`: "ingress[0] from 10.1.0.0/16 or 10.2.0.0/16 or 10.3.0.0/16 or 10.4.0.0/16 or 1 more on every port",
		`{"ports":[{"port":1},{"port":2},{"port":3},{"port":4},{"port":5},{"port":6},{"port":7},{"port":8}]}`:                                                                                       "ingress[0] from anywhere on TCP 1 or TCP 2 or TCP 3 or TCP 4 or TCP 5 or TCP 6 or 2 more",
	}
	for spec, want := range tests {
		p := readJSON(t, `{"ingress":[`+spec+`]}`)
		if got := p.Ingress[0].String(); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", spec, got, want)
		}
	}
	egress := readJSON(t, `{"egress":[{},{"to":[{"podSelector":{}}]}]}`)
	if got, want := egress.Egress[1].String(), "egress[1] to all pods in namespace shop on every port"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRuleStringForLeavesOutOtherPeers(t *testing.T) {
	p := readJSON(t, `{"ingress":[{"from":[
		{"podSelector":{"matchLabels":{"app":"a"}}},
		{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.9.0.0/16"]}},
		{"namespaceSelector":{"matchLabels":{"team":"red"}}}]}]}`)
	pod := func(namespace, app string) *policy.Pod {
		return &policy.Pod{Namespace: namespace, Labels: label.Of(map[string]string{"app": app})}
	}
	red := &policy.Namespace{Name: "lab", Labels: label.Of(map[string]string{"team": "red"})}
	tests := map[string]struct {
		end     policy.End
		matches bool
		want    string
	}{
		"the pod":            {policy.End{Pod: pod("shop", "a")}, true, "pods app=a in namespace shop (of 3 peers)"},
		"another namespace":  {policy.End{Pod: pod("lab", "a")}, false, ""},
		"a red namespace":    {policy.End{Pod: pod("lab", "a"), Namespace: red}, true, "all pods in namespaces team=red (of 3 peers)"},
		"host network":       {policy.End{Pod: &policy.Pod{Namespace: "lab", HostNetwork: true}, Namespace: red}, false, ""},
		"the block":          {policy.End{Address: netip.MustParseAddr("10.0.0.1")}, true, "10.0.0.0/8 except 10.9.0.0/16 (of 3 peers)"},
		"excepted":           {policy.End{Address: netip.MustParseAddr("10.9.0.1")}, false, ""},
		"the pod, by a port": {policy.End{Pod: pod("shop", "a"), Address: netip.MustParseAddr("10.0.0.1")}, true, "pods app=a in namespace shop or 10.0.0.0/8 except 10.9.0.0/16 (of 3 peers)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := p.Ingress[0].String()
			if test.matches {
				want = "ingress[0] from " + test.want + " on every port"
			}
			if got := p.Ingress[0].StringFor(&test.end); got != want || p.Ingress[0].Matches(&test.end) != test.matches {
				t.Errorf("matches %v, want %v\ngot  %s\nwant %s", p.Ingress[0].Matches(&test.end), test.matches, got, want)
			}
		})
	}
}

func TestPolicySelects(t *testing.T) {
	web := label.Of(map[string]string{"app": "web"})
	tests := map[string]struct {
		selector string
		pod      policy.Pod
		want     bool
	}{
		"a label":                  {`{"matchLabels":{"app":"web"}}`, policy.Pod{Namespace: "shop", Labels: web}, true},
		"another label":            {`{"matchLabels":{"app":"db"}}`, policy.Pod{Namespace: "shop", Labels: web}, false},
		"another namespace":        {`{}`, policy.Pod{Namespace: "lab", Labels: web}, false},
		"host network":             {`{}`, policy.Pod{Namespace: "shop", HostNetwork: true}, false},
		"finished":                 {`{}`, policy.Pod{Namespace: "shop", Finished: true}, false},
		"S60 a broken requirement": {`{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"tier","operator":"Is"}]}`, policy.Pod{Namespace: "shop", Labels: web}, true},
		"S60 the rest decides":     {`{"matchLabels":{"app":"db"},"matchExpressions":[{"key":"tier","operator":"Is"}]}`, policy.Pod{Namespace: "shop", Labels: web}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := readJSON(t, `{"podSelector":`+test.selector+`}`).Selects(&test.pod, nil); got != test.want {
				t.Errorf("selects %v, want %v", got, test.want)
			}
		})
	}
}
