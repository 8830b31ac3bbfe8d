package read_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/stage"
)

// readJSON returns a policy named p in namespace shop with a spec that is given as JSON.
func readJSON(t testing.TB, spec string) *policy.Policy {
	t.Helper()
	p, _ := read.NetworkPolicy(stage.Policy(t, "shop/p", spec))
	return p
}

func TestFieldErrorsNameFieldAndFix(t *testing.T) {
	tests := map[string]struct {
		spec      string
		wantField string
		wantPart  string
	}{
		"subject operator":     {`{"podSelector":{"matchExpressions":[{"key":"a","operator":"Is"}]}}`, "spec.podSelector.matchExpressions[0].operator", "want In, NotIn, Exists or DoesNotExist"},
		"In without values":    {`{"podSelector":{"matchExpressions":[{"key":"a","operator":"In"}]}}`, "spec.podSelector.matchExpressions[0]", "values"},
		"label value":          {`{"podSelector":{"matchLabels":{"a":"-"}}}`, "spec.podSelector.matchLabels[a]", "must"},
		"policy type":          {`{"policyTypes":["Egres"]}`, "spec.policyTypes[0]", "want Ingress or Egress"},
		"cidr":                 {`{"ingress":[{"from":[{"ipBlock":{"cidr":"10.0.0.0"}}]}]}`, "spec.ingress[0].from[0].ipBlock.cidr", "write 10.0.0.0/32"},
		"mapped cidr":          {`{"ingress":[{"from":[{"ipBlock":{"cidr":"::ffff:10.0.0.0/104"}}]}]}`, "spec.ingress[0].from[0].ipBlock.cidr", "write it as IPv4"},
		"except outside":       {`{"egress":[{},{"to":[{"ipBlock":{"cidr":"10.0.0.0/16","except":["10.0.1.0/24","10.1.0.0/24"]}}]}]}`, "spec.egress[1].to[0].ipBlock.except[1]", "not inside the cidr 10.0.0.0/16"},
		"except wider":         {`{"egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.0/16","except":["10.0.0.0/8"]}}]}]}`, "spec.egress[0].to[0].ipBlock.except[0]", "not inside"},
		"except other family":  {`{"egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.0/16","except":["fd00::/64"]}}]}]}`, "spec.egress[0].to[0].ipBlock.except[0]", "not inside"},
		"block and selector":   {`{"egress":[{"to":[{"podSelector":{},"ipBlock":{"cidr":"10.0.0.0/16"}}]}]}`, "spec.egress[0].to[0]", "write two entries"},
		"peer without a field": {`{"ingress":[{"from":[{}]}]}`, "spec.ingress[0].from[0]", "the entry is empty"},
		"peer selector":        {`{"ingress":[{"from":[{"namespaceSelector":{"matchExpressions":[{"key":"a","operator":"Exists","values":["x"]}]}}]}]}`, "spec.ingress[0].from[0].namespaceSelector.matchExpressions[0]", "values"},
		"protocol":             {`{"ingress":[{"ports":[{"protocol":"ICMP"}]}]}`, "spec.ingress[0].ports[0].protocol", "only a rule without ports allows ICMP"},
		"port 0":               {`{"ingress":[{"ports":[{"port":0}]}]}`, "spec.ingress[0].ports[0].port", "want 1 to 65535"},
		"port 65536":           {`{"ingress":[{"ports":[{"port":65536}]}]}`, "spec.ingress[0].ports[0].port", "want 1 to 65535"},
		"port name":            {`{"ingress":[{"ports":[{"port":"not_a_name"}]}]}`, "spec.ingress[0].ports[0].port", "not a port name"},
		"endPort below":        {`{"ingress":[{"ports":[{"port":80,"endPort":79}]}]}`, "spec.ingress[0].ports[0].endPort", "want 80 (the port) to 65535"},
		"endPort with a name":  {`{"ingress":[{"ports":[{"port":"http","endPort":80}]}]}`, "spec.ingress[0].ports[0].endPort", "needs a port number"},
		"endPort alone":        {`{"ingress":[{"ports":[{"endPort":80}]}]}`, "spec.ingress[0].ports[0].endPort", "set port"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := readJSON(t, tt.spec)
			if len(p.Errors) != 1 {
				t.Fatalf("errors %v, want one", p.Errors)
			}
			got := p.Errors[0]
			if got.Field != tt.wantField || !strings.Contains(got.Message, tt.wantPart) {
				t.Errorf("got  %s\nwant field %s, message with %q", got, tt.wantField, tt.wantPart)
			}
		})
	}
}

func TestInvalidRuleAffectsNoOtherRule(t *testing.T) {
	p := readJSON(t, `{"ingress":[
		{"ports":[{"port":80}]},
		{"ports":[{"port":81},{"port":0}],"from":[{"podSelector":{}}]},
		{"ports":[{"port":82}]}]}`)
	var got []int
	for i, r := range p.Ingress {
		if !r.Invalid {
			got = append(got, i)
		}
	}
	if diff := cmp.Diff([]int{0, 2}, got); diff != "" {
		t.Errorf("rules that work (-want +got):\n%s", diff)
	}
	if p.Isolates != [2]bool{rule.Ingress: true} {
		t.Errorf("isolates %v, want ingress only", p.Isolates)
	}
}

// TestErrorsOfALargePolicy reads a policy with 200,000 invalid parts. It checks that there are
// only 100 errors, and that each rule with an invalid part is nevertheless invalid.
func TestErrorsOfALargePolicy(t *testing.T) {
	np := &networkingv1.NetworkPolicy{}
	for i := range 200 {
		from := make([]networkingv1.NetworkPolicyPeer, 1000)
		if i%2 == 1 {
			from = []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}
		}
		np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: from})
	}
	p, errors := read.NetworkPolicy(np)
	if len(errors) != 100 || len(p.Errors) != 100 {
		t.Errorf("%d errors, want 100", len(errors))
	}
	for i := range p.Ingress {
		if p.Ingress[i].Invalid != (i%2 == 0) {
			t.Errorf("rule %d: invalid is %t", i, p.Ingress[i].Invalid)
		}
	}
}
