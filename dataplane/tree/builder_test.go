package tree_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

func oneRule(r rule.Rule) rule.Delta {
	r.Policy = "ns/p"
	return rule.Delta{Programs: []rule.ProgramChange{{ID: 9, Program: &rule.Program{Tier: rule.NetworkPolicyTier, IsolatedBy: []string{"ns/p"}, Rules: []rule.Rule{r}}}}}
}

func oneMatch(m rule.Match) rule.Delta {
	return oneRule(rule.Rule{Action: rule.ActionAccept, Matches: []rule.Match{m}})
}

func oneAddress(a string, owner rule.Owner) rule.Delta {
	addr, _ := netip.ParseAddr(a)
	return rule.Delta{Addresses: []rule.AddressChange{{Addr: addr, Owner: owner}}}
}

func TestApplyRejectsInvalidDeltas(t *testing.T) {
	block := func(prefix string, excepts ...string) rule.Delta {
		return oneMatch(rule.Match{Blocks: []rule.Block{{Prefix: netip.MustParsePrefix(prefix), Excepts: parseAll(netip.MustParsePrefix, excepts...)}}})
	}
	twice := func(d rule.Delta) rule.Delta {
		return rule.Delta{Addresses: append(d.Addresses, d.Addresses...), Pods: append(d.Pods, d.Pods...), Programs: append(d.Programs, d.Programs...)}
	}
	pod := rule.Delta{Pods: []rule.PodChange{{ID: 9, Pod: &rule.Pod{Name: "ns/pod"}}}}
	tests := map[string]struct {
		delta rule.Delta
		want  string
	}{
		"action Pass":                        {oneRule(rule.Rule{Action: rule.ActionPass}), "program 9: rule ns/p[0]: a rule of a NetworkPolicy cannot have action Pass"},
		"no action":                          {oneRule(rule.Rule{}), "program 9: rule ns/p[0]: unknown action 0"},
		"negative index":                     {oneRule(rule.Rule{Action: rule.ActionAccept, Index: -1}), "index"},
		"class 0":                            {oneMatch(rule.Match{Classes: []rule.Class{0}}), "class 0"},
		"descending classes":                 {oneMatch(rule.Match{Classes: []rule.Class{2, 1}}), "class 1"},
		"class too large":                    {oneMatch(rule.Match{Classes: []rule.Class{1 << 30}}), "class 1073741824"},
		"ports of ICMP":                      {oneMatch(rule.Match{Any: true, Ports: []rule.Ports{{Protocol: 1, Last: 65535}}}), "protocol ICMP"},
		"descending ports":                   {oneMatch(rule.Match{Any: true, Ports: []rule.Ports{{Protocol: 6, First: 2, Last: 1}}}), "from 2 to 1"},
		"unmasked block":                     {block("10.0.0.1/24"), "block 10.0.0.1/24"},
		"no block":                           {oneMatch(rule.Match{Blocks: []rule.Block{{}}}), "block"},
		"unmasked except":                    {block("10.0.0.0/24", "10.0.0.1/25"), "except 10.0.0.1/25"},
		"except outside":                     {block("10.0.0.0/24", "10.0.1.0/25"), "except 10.0.1.0/25"},
		"except of the other family":         {block("::/0", "10.0.1.0/25"), "except 10.0.1.0/25"},
		"no isolating policy":                {rule.Delta{Programs: []rule.ProgramChange{{ID: 9, Program: &rule.Program{Tier: rule.NetworkPolicyTier}}}}, "program 9: no isolating policy"},
		"isolating policies of another tier": {rule.Delta{Programs: []rule.ProgramChange{{ID: 9, Program: &rule.Program{IsolatedBy: []string{"ns/p"}}}}}, "program 9: isolating policies in the tier Admin"},
		"program of another tier": {rule.Delta{
			Programs: []rule.ProgramChange{{ID: 9, Program: &rule.Program{Tier: rule.BaselineTier}}},
			Pods:     []rule.PodChange{{ID: 9, Pod: &rule.Pod{Name: "ns/pod", Admin: [2]rule.ProgramID{9}}}},
		}, "pod 9 (ns/pod): program 9 belongs to the tier Baseline, want Admin"},
		"program 0":                              {rule.Delta{Programs: []rule.ProgramChange{{}}}, "program 0"},
		"program twice":                          {twice(oneMatch(rule.Match{Any: true})), "program 9: changed twice"},
		"program removed while in use":           {rule.Delta{Programs: []rule.ProgramChange{{ID: 1}}}, "program 1: removed"},
		"pod with unknown program":               {rule.Delta{Pods: []rule.PodChange{{ID: 9, Pod: &rule.Pod{Name: "ns/pod", Egress: 77}}}}, "pod 9 (ns/pod): unknown program 77"},
		"pod twice":                              {twice(pod), "pod 9: changed twice"},
		"pod removed while it has an address":    {rule.Delta{Pods: []rule.PodChange{{ID: 1}}}, "pod 1 (shop/web): removed"},
		"address of an unknown pod":              {oneAddress("1.1.1.1", rule.Owner{Kind: rule.LocalPod, Pod: 77}), "address 1.1.1.1: unknown pod 77"},
		"address of a removed pod":               {rule.Delta{Addresses: oneAddress("1.1.1.1", rule.Owner{Kind: rule.LocalPod, Pod: 3}).Addresses, Pods: []rule.PodChange{{ID: 3}}}, "unknown pod 3"},
		"address twice":                          {twice(oneAddress("1.1.1.1", rule.Owner{Kind: rule.ThisNode})), "address 1.1.1.1: changed twice"},
		"remote pod without class":               {oneAddress("1.1.1.1", rule.Owner{Kind: rule.RemotePod}), "address 1.1.1.1"},
		"address class too large":                {oneAddress("1.1.1.1", rule.Owner{Kind: rule.RemotePod, Class: 1 << 30}), "class 1073741824"},
		"unknown kind of owner":                  {oneAddress("1.1.1.1", rule.Owner{Kind: 9}), "owner 9"},
		"address with a zone":                    {oneAddress("fe80::1%eth0", rule.Owner{Kind: rule.ThisNode}), "without zone"},
		"no address":                             {oneAddress("", rule.Owner{Kind: rule.ThisNode}), "want an IP address"},
		"valid and invalid changes in one delta": {rule.Delta{Addresses: oneAddress("10.0.0.1", rule.Owner{}).Addresses, Pods: []rule.PodChange{{ID: 1}, {ID: 2}}}, "removed while it has an address"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := build.New("node")
			if err := b.Apply(smallDelta()); err != nil {
				t.Fatal(err)
			}
			if err := b.Apply(tt.delta); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got error %v, want one with %q", err, tt.want)
			}
			rules := newNaive()
			rules.apply(smallDelta())
			tr := newFixture(t).publish(t, b)
			for _, f := range smallFlows() {
				wantSides(t, rules, tr, f)
			}
		})
	}
}

func wantSides(t *testing.T, rules *naive, tr *tree.Tree, f flow.Flow) {
	t.Helper()
	wantEgress, wantIngress := rules.evaluate(f)
	egress, ingress := explain(tr, f)
	if egress.Reason != wantEgress.Reason || ingress.Reason != wantIngress.Reason || egress.Verdict != wantEgress.Verdict || ingress.Verdict != wantIngress.Verdict {
		t.Fatalf("%s: got %+v and %+v, want %+v and %+v", f, egress, ingress, wantEgress, wantIngress)
	}
}

// TestReproducible encodes the same rules twice. The classes of the rules fill many pages.
func TestReproducible(t *testing.T) {
	var match rule.Match
	for class := rule.Class(1); class < 2000; class += 7 {
		match.Classes = append(match.Classes, class)
	}
	encoded := func() []uint32 {
		b := build.New("node")
		if err := b.Apply(oneMatch(match)); err != nil {
			t.Fatal(err)
		}
		image, err := b.Encode(1)
		if err != nil {
			t.Fatal(err)
		}
		return image.Words()
	}
	if !slices.Equal(encoded(), encoded()) {
		t.Error("two trees with the same rules differ")
	}
}

func TestRemovingWhatDoesNotExistIsNoError(t *testing.T) {
	d := oneAddress("1.1.1.1", rule.Owner{})
	d.Pods = []rule.PodChange{{ID: 5}}
	d.Programs = []rule.ProgramChange{{ID: 5}}
	if err := build.New("node").Apply(d); err != nil {
		t.Error(err)
	}
}

// After an address table has shrunk and grown again, it still contains every address.
func TestAddressTableShrinksAndGrows(t *testing.T) {
	b, s, rules := build.New("node"), newFixture(t), newNaive()
	local := func(n int) netip.Addr {
		if n%2 == 0 {
			return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})
		}
		return netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(n >> 8), 15: byte(n)})
	}
	first := rule.Delta{Pods: []rule.PodChange{{ID: 1, Pod: &rule.Pod{Name: "ns/pod"}}}}
	for step, span := range [][2]int{{0, 3000}, {10, 2990}, {0, 1000}} {
		d := first
		first = rule.Delta{}
		for n := span[0]; n < span[1]; n++ {
			c := rule.AddressChange{Addr: local(n), Owner: rule.Owner{Kind: rule.LocalPod, Pod: 1}}
			if step == 1 {
				c.Owner = rule.Owner{}
			}
			d.Addresses = append(d.Addresses, c)
		}
		rules.apply(d)
		if err := b.Apply(d); err != nil {
			t.Fatal(err)
		}
		tr := s.publish(t, b)
		if got, want := tr.Counts(), (tree.Counts{Pods: 1, LocalAddresses: len(rules.addresses), Addresses: len(rules.addresses)}); got != want {
			t.Errorf("step %d: counts %+v, want %+v", step, got, want)
		}
		for n := range 3000 {
			_, want := rules.addresses[local(n)]
			if _, got := tr.Pod(local(n)); got != want {
				t.Fatalf("step %d: %s is the address of a pod: %t, want %t", step, local(n), got, want)
			}
		}
	}
}

// The size of a tree depends only on the current rules, and not on rules that were removed.
func TestBuilderKeepsNothingThatWasRemoved(t *testing.T) {
	b, s := build.New("node"), newFixture(t)
	added := smallDelta()
	var removed rule.Delta
	for _, c := range added.Addresses {
		removed.Addresses = append(removed.Addresses, rule.AddressChange{Addr: c.Addr})
	}
	for _, c := range added.Pods {
		removed.Pods = append(removed.Pods, rule.PodChange{ID: c.ID})
	}
	for _, c := range added.Programs {
		removed.Programs = append(removed.Programs, rule.ProgramChange{ID: c.ID})
	}
	var full, empty int64
	for round := range 20 {
		if err := b.Apply(added); err != nil {
			t.Fatal(err)
		}
		// If the same delta is applied again, the size does not change.
		if err := b.Apply(added); err != nil {
			t.Fatal(err)
		}
		nowFull := s.publish(t, b).Size()
		if err := b.Apply(removed); err != nil {
			t.Fatal(err)
		}
		tr := s.publish(t, b)
		if got := tr.Counts(); got != (tree.Counts{}) {
			t.Fatalf("round %d: %+v left", round, got)
		}
		if round > 0 && (nowFull != full || tr.Size() != empty) {
			t.Fatalf("round %d: %d bytes full and %d empty, before %d and %d", round, nowFull, tr.Size(), full, empty)
		}
		full, empty = nowFull, tr.Size()
	}
}
