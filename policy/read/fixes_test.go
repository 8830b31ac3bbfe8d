package read_test

import (
	"encoding/json"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicenet/sluice/policy/read"
)

// TestFixes checks that the message about a value that the API server rejects states what to write
// instead.
func TestFixes(t *testing.T) {
	peer := func(s string) string { return `{"ingress":[{"from":[` + s + `]}]}` }
	port := func(s string) string { return `{"ingress":[{"ports":[` + s + `]}]}` }
	block := func(s string) string { return peer(`{"ipBlock":{"cidr":"` + s + `"}}`) }
	pods := func(s string) string { return peer(`{"podSelector":` + s + `}`) }
	tests := map[string]struct{ spec, want string }{
		"a number in quotes":        {port(`{"port":"8080"}`), "write port: 8080, without quotes"},
		"a range in one text":       {port(`{"port":"8000-9000"}`), "write port: 8000 and endPort: 9000"},
		"a port with its protocol":  {port(`{"port":"80/udp"}`), "write port: 80 and protocol: UDP"},
		"ports in one text":         {port(`{"port":"80,443"}`), "write one entry for each port"},
		"a long port name":          {port(`{"port":"http-management-long"}`), "at most 15 characters"},
		"a port name with an error": {port(`{"port":"a_b"}`), `"a_b" is not a port name: must`},
		"a protocol in lower case":  {port(`{"protocol":"tcp"}`), "write TCP, in upper case"},
		"ICMP":                      {port(`{"protocol":"ICMP"}`), "only a rule without ports allows ICMP"},
		"any protocol":              {port(`{"protocol":"Any"}`), "a rule without ports allows every protocol"},
		"an address":                {block("10.0.0.5"), "write 10.0.0.5/32"},
		"an IPv6 address":           {block("fd00::1"), "write fd00::1/128"},
		"a name":                    {block("api.example.com"), "write the addresses of the name as CIDRs"},
		"two CIDRs in one text":     {block("10.0.0.0/8,172.16.0.0/12"), "write one entry for each CIDR"},
		"a range of addresses":      {block("10.0.0.1-10.0.0.9"), "one entry for each CIDR of the range"},
		"a netmask":                 {block("10.0.0.0/255.0.0.0"), "10.0.0.0/8"},
		"a mask with a hole":        {block("10.0.0.0/255.0.255.0"), "such as 10.0.0.0/8"},
		"a star":                    {block("*"), "0.0.0.0/0, and an entry with ::/0"},
		"an empty CIDR":             {block(""), "such as 10.0.0.0/8"},
		"a star as a label":         {pods(`{"matchLabels":{"app":"*"}}`), "{key: app, operator: Exists}"},
		"several labels":            {pods(`{"matchLabels":{"app":"a, b"}}`), "{key: app, operator: In, values: [a, b]}"},
		"another invalid label":     {pods(`{"matchLabels":{"app":"-"}}`), "consist of alphanumeric characters"},
		"an operator with an alias": {pods(`{"matchExpressions":[{"key":"app","operator":"Equals","values":["a"]}]}`), `"Equals": write In`},
		"an operator with a sign":   {pods(`{"matchExpressions":[{"key":"app","operator":"!=","values":["a"]}]}`), `"!=": write NotIn`},
		"an unknown operator":       {pods(`{"matchExpressions":[{"key":"app","operator":"Gt","values":["1"]}]}`), "want In, NotIn, Exists or DoesNotExist"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var in networkingv1.NetworkPolicy
			if err := json.Unmarshal([]byte(test.spec), &in.Spec); err != nil {
				t.Fatal(err)
			}
			_, errs := read.NetworkPolicy(&in)
			if len(errs) != 1 || !strings.Contains(errs[0].Message, test.want) {
				t.Errorf("errors %v, want one that contains %q", errs, test.want)
			}
		})
	}
}
