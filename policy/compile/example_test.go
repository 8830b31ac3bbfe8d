package compile_test

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
	"github.com/sluicenet/sluice/policy/label"
)

// The first delta contains all rules of the node. Later deltas contain only changes. In this
// example, a pod on another node becomes a peer.
func Example() {
	app := func(name string) label.Set { return label.Of(map[string]string{"app": name}) }
	s := policy.NewSnapshot()
	s.Load(policy.Objects{
		Pods: []*policy.Pod{{
			Namespace: "shop", Name: "db", Node: "one", Running: true,
			Labels: app("db"), Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		}},
		Policies: []*policy.Policy{{
			Name: "db", Scope: "shop", Tier: rule.NetworkPolicyTier,
			Subject:  policy.PodSet{Namespace: "shop"},
			Isolates: [2]bool{rule.Ingress: true},
			Ingress: []policy.Rule{{
				Direction: rule.Ingress, Action: rule.ActionAccept, Field: "spec.ingress[0]",
				Peers: []policy.Peer{{PodSet: policy.PodSet{Namespace: "shop"}}},
			}},
		}},
	})
	c := compile.New(s, "one")
	defer c.Close()
	show := func(d rule.Delta) {
		for _, p := range d.Pods {
			fmt.Printf("pod %d is %s, ingress program %d\n", p.ID, p.Pod.Name, p.Pod.Ingress)
		}
		for _, p := range d.Programs {
			fmt.Printf("program %d: isolated by %v, %d rules\n", p.ID, p.Program.IsolatedBy, len(p.Program.Rules))
		}
		for _, a := range d.Addresses {
			fmt.Printf("address %s: local pod %t, class %d\n", a.Addr, a.Owner.Kind == rule.LocalPod, a.Owner.Class)
		}
	}
	show(c.Delta())
	fmt.Println("a pod appears on node two")
	s.UpsertPod(&policy.Pod{
		Namespace: "shop", Name: "web", Node: "two", Running: true,
		Labels: app("web"), Addresses: []netip.Addr{netip.MustParseAddr("10.0.1.1")},
	})
	show(c.Delta())
	// Output:
	// pod 1 is shop/db, ingress program 1
	// program 1: isolated by [shop/db], 1 rules
	// address 10.0.0.1: local pod true, class 1
	// a pod appears on node two
	// address 10.0.1.1: local pod false, class 1
}
