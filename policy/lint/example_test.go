package lint_test

import (
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/policy/read"
)

func ExampleRun() {
	var in networkingv1.NetworkPolicy
	if err := yaml.UnmarshalStrict([]byte(`
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: wbe}}
  ingress: [{ports: [{port: 80}]}]
`), &in); err != nil {
		panic(err)
	}
	p, _ := read.NetworkPolicy(&in)
	s := policy.NewSnapshot()
	s.UpsertPolicy(p)
	s.UpsertPod(&policy.Pod{
		Namespace: "shop", Name: "web-0", Labels: label.Of(map[string]string{"app": "web"}),
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
	})
	for _, f := range lint.Run(lint.Input{Snapshot: s}) {
		fmt.Printf("%s: %s %s: %s\n", f.Policy, f.Severity, f.Field, f.Message)
		fmt.Println("fix:", f.Fix)
	}
	// Output:
	// shop/web: warning spec.podSelector: no pod in namespace shop has app=wbe: the policy does nothing
	// fix: compare the selector with the labels of the pods: for app they have web
}
