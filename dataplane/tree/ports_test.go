package tree_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

// overlapping returns the rules of a node with one pod, whose program has n rules. Rule i allows
// the address peerOf(i) at all ports from 1+2*i on. The port ranges overlap, so the program has n
// port intervals, and up to n addresses are allowed in each interval.
func overlapping(n int) rule.Delta {
	local, program := netip.MustParseAddr("10.0.0.1"), &rule.Program{Tier: rule.NetworkPolicyTier, IsolatedBy: []string{"x/p"}}
	for i := range n {
		program.Rules = append(program.Rules, rule.Rule{Action: rule.ActionAccept, Policy: "x/p", Index: i, Matches: []rule.Match{{
			Ports:  []rule.Ports{{Protocol: uint8(flow.TCP), First: uint16(1 + 2*i), Last: 65535}},
			Blocks: []rule.Block{{Prefix: netip.PrefixFrom(peerOf(i), 32)}},
		}}})
	}
	return rule.Delta{
		Programs:  []rule.ProgramChange{{ID: 1, Program: program}},
		Pods:      []rule.PodChange{{ID: 1, Pod: &rule.Pod{Name: "x/pod", Ingress: 1}}},
		Addresses: []rule.AddressChange{{Addr: local, Owner: rule.Owner{Kind: rule.LocalPod, Pod: 1}}},
	}
}

// peerOf returns the address that rule i of the function `overlapping` allows.
func peerOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}) }

// The size of a tree must be proportional to the number of rules, not to the square of that
// number. Each rule must match only its own address and ports.
func TestTreeOfOverlappingRulesIsSmall(t *testing.T) {
	const rules = 8_000
	delta, b, s := overlapping(rules), build.New("node"), newFixture(t)
	if err := b.Apply(delta); err != nil {
		t.Fatal(err)
	}
	tr := s.publish(t, b)
	info, err := os.Stat(filepath.Join(s.dir, "tree", "current"))
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(400 * rules); info.Size() > most {
		t.Errorf("%d bytes for %d rules, want at most %d", info.Size(), rules, most)
	}
	naive := newNaive()
	naive.apply(delta)
	for i := 0; i < rules; i += 97 {
		for _, port := range []int{0, 1, 2 * i, 2*i + 1, 2*i + 2, 65535} {
			f := flow.Flow{Src: peerOf(i), Dst: netip.MustParseAddr("10.0.0.1"), Protocol: flow.TCP, DstPort: uint16(port)}
			egress, ingress := naive.evaluate(f)
			gotEgress, gotIngress := explain(tr, f)
			if diff := cmp.Diff([]explained{egress, ingress}, []explained{gotEgress, gotIngress}); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", f, diff)
			}
		}
	}
}
