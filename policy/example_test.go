package policy_test

import (
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/read"
)

// parse reads a NetworkPolicy in YAML.
func parse(text string) *policy.Policy {
	var in networkingv1.NetworkPolicy
	if err := yaml.UnmarshalStrict([]byte(text), &in); err != nil {
		panic(err)
	}
	p, _ := read.NetworkPolicy(&in)
	return p
}

// The function NetworkPolicy of package read fills in the same defaults as the API server. The
// method String describes a rule as text.
func Example_networkPolicy() {
	p := parse(`
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: web}}
    - ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.1/32]}
    ports: [{port: 5432}]
`)
	fmt.Println(p, "selects", &p.Subject)
	fmt.Println("isolates ingress:", p.Isolates[rule.Ingress])
	fmt.Println("isolates egress:", p.Isolates[rule.Egress])
	fmt.Println(&p.Ingress[0])
	// Output:
	// shop/db selects pods app=db in namespace shop
	// isolates ingress: true
	// isolates egress: false
	// ingress[0] from pods app=web in namespace shop or 192.0.2.0/24 except 192.0.2.1/32 on TCP 5432
}

// If a part of a policy cannot be understood, the policy fails closed. In this example, the
// rule with the invalid CIDR allows nothing, but the policy still isolates its pods.
func Example_networkPolicy_errors() {
	p := parse(`
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{ipBlock: {cidr: 192.0.2.0/33}}]
  - from: [{podSelector: {matchLabels: {app: web}}}]
`)
	for _, e := range p.Errors {
		fmt.Println(e)
	}
	for i := range p.Ingress {
		fmt.Println(p.Ingress[i].Field, "is invalid:", p.Ingress[i].Invalid)
	}
	// Output:
	// spec.ingress[0].from[0].ipBlock.cidr: "192.0.2.0/33" is not a CIDR: write an address, a slash and a length, such as 10.0.0.0/8
	// spec.ingress[0] is invalid: true
	// spec.ingress[1] is invalid: false
}

// A policy selects pods of its own namespace by their labels.
func ExamplePolicy_Selects() {
	p := parse(`
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}}
`)
	db := label.Of(map[string]string{"app": "db"})
	fmt.Println(p.Selects(&policy.Pod{Namespace: "shop", Name: "db-0", Labels: db}, nil))
	fmt.Println(p.Selects(&policy.Pod{Namespace: "shop", Name: "node-db", Labels: db, HostNetwork: true}, nil))
	fmt.Println(p.Selects(&policy.Pod{Namespace: "lab", Name: "db-0", Labels: db}, nil))
	// Output:
	// true
	// false
	// false
}

// The method End finds the pod that owns an address. Peers can then be matched against the
// pod.
func ExampleSnapshot_End() {
	s := policy.NewSnapshot()
	s.Load(policy.Objects{
		Namespaces: []policy.Namespace{{Name: "shop", Labels: label.Of(map[string]string{"team": "red"})}},
		Pods: []*policy.Pod{{
			Namespace: "shop", Name: "web", Running: true,
			Labels: label.Of(map[string]string{"app": "web"}), Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		}},
		Policies: []*policy.Policy{parse(`
metadata: {name: db, namespace: lab}
spec:
  podSelector: {}
  ingress: [{from: [{namespaceSelector: {matchLabels: {team: red}}}]}]
`)},
	})
	r := &s.Policies()[0].Ingress[0]
	for _, address := range []string{"10.0.0.1", "192.0.2.1"} {
		end := s.End(netip.MustParseAddr(address))
		fmt.Println(address, "matches:", r.Matches(&end))
	}
	// Output:
	// 10.0.0.1 matches: true
	// 192.0.2.1 matches: false
}
