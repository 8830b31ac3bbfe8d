package stage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/stage"
)

func TestExpectations(t *testing.T) {
	got := stage.Expectations(t, `
		shop/web -> shop/db TCP 5432 allowed

		any -> node:one denied
		shop/web -> shop/db ICMP | NotIsolated | Rule shop/p[0]
	`)
	want := []stage.Expectation{
		{From: "shop/web", To: "shop/db", Protocol: flow.TCP, Port: 5432, Allowed: true},
		{From: "any", To: "node:one", EveryProtocol: true},
		{From: "shop/web", To: "shop/db", Protocol: flow.ICMP, Egress: "NotIsolated", Ingress: "Rule shop/p[0]"},
	}
	for i := range got {
		got[i].Line = ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("expectations (-want +got):\n%s", diff)
	}
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"shop/web", "shop/web", true},
		{"shop/*", "shop/web", true},
		{"shop/*", "lab/web", false},
		{"*/*", "shop/web", true},
		{"*/*", "outside", false},
		{"any", "outside", true},
		{"any", "shop/web", true},
	} {
		if got := stage.Match(test.pattern, test.name); got != test.want {
			t.Errorf("Match(%q, %q) = %t", test.pattern, test.name, got)
		}
	}
}

func TestTheLastMatchingExpectationCounts(t *testing.T) {
	all := stage.Expectations(t, `
		any -> any denied
		shop/web -> any TCP 80 allowed
	`)
	for port, want := range map[uint16]bool{80: true, 81: false} {
		if got := stage.Last(t, all, "shop/web", "shop/db", flow.TCP, port).Allowed; got != want {
			t.Errorf("port %d: allowed %t, want %t", port, got, want)
		}
	}
}

func TestObjects(t *testing.T) {
	o := stage.Objects(t, `
	- {namespace: shop, labels: {team: red}}
	- {node: one}
	- {pod: shop/web, labels: {app: web}, ports: [http:8080/TCP, dns:53/UDP]}
	- {pod: shop/db, node: two}
	- {policy: shop/deny, spec: {podSelector: {}}}
	`)
	if len(o.Namespaces) != 1 || len(o.Nodes) != 1 || len(o.Pods) != 2 || len(o.Policies) != 1 {
		t.Fatalf("objects:\n%s", &o)
	}
	web, db := o.Pods[0], o.Pods[1]
	if web.Spec.NodeName != "one" || db.Spec.NodeName != "two" || db.Status.PodIPs[1].IP != "fd00::2" {
		t.Errorf("pods:\n%s", &o)
	}
	if ports := web.Spec.Containers[0].Ports; len(ports) != 2 || ports[0].ContainerPort != 8080 || ports[1].Name != "dns" {
		t.Errorf("ports %+v", ports)
	}
}
