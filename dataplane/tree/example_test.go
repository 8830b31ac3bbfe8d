package tree_test

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

// This example builds the tree of a node with one isolated pod, publishes the tree in a state
// directory and evaluates two flows with it. The dataplane evaluates the first packet of each
// flow in the same way.
func Example() {
	pod, peer := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("192.0.2.1")
	builder := build.New("node-1")
	err := builder.Apply(rule.Delta{
		Addresses: []rule.AddressChange{{Addr: pod, Owner: rule.Owner{Kind: rule.LocalPod, Pod: 1}}},
		Pods:      []rule.PodChange{{ID: 1, Pod: &rule.Pod{Name: "shop/db", Ingress: 1}}},
		Programs: []rule.ProgramChange{{ID: 1, Program: &rule.Program{
			Tier: rule.NetworkPolicyTier, IsolatedBy: []string{"shop/allow-sql"},
			Rules: []rule.Rule{{
				Action: rule.ActionAccept, Policy: "shop/allow-sql",
				Matches: []rule.Match{{Ports: []rule.Ports{{Protocol: uint8(flow.TCP), First: 5432, Last: 5432}}, Any: true}},
			}},
		}}},
	})
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "sluice-example-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	publisher, err := statedir.NewPublisher(dir)
	if err != nil {
		panic(err)
	}
	if _, err := publisher.Publish(builder); err != nil {
		panic(err)
	}

	t, err := statedir.OpenCurrent(dir)
	if err != nil {
		panic(err)
	}
	defer func() { _ = t.Close() }()
	for _, port := range []uint16{5432, 22} {
		f := flow.Flow{Src: peer, Dst: pod, Protocol: flow.TCP, SrcPort: 40000, DstPort: port}
		decision := t.Evaluate(f)
		fmt.Printf("%s: %s (%s), isolated by %v\n", f, decision.Verdict(), decision.Ingress.Reason, t.IsolatedBy(decision.Ingress))
	}
	// Output:
	// TCP 192.0.2.1:40000 -> 10.0.0.1:5432: Allow (Rule), isolated by [shop/allow-sql]
	// TCP 192.0.2.1:40000 -> 10.0.0.1:22: Deny (NoRuleMatched), isolated by [shop/allow-sql]
}
