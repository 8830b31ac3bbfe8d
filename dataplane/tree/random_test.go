package tree_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

// These lists are short so that random rules overlap.
var (
	addresses = parseAll(netip.MustParseAddr,
		"10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.127", "10.0.0.128", "10.0.0.255", "10.0.1.0", "0.0.0.0", "255.255.255.255", "192.168.7.7",
		"fd00::", "fd00::1", "fd00::7fff:ffff:ffff:ffff", "fd00::8000:0:0:0", "fd00:0:0:1::", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:10.0.0.1", "::a00:1")
	prefixes = parseAll(netip.MustParsePrefix,
		"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.0/25", "10.0.0.128/25", "10.0.0.1/32", "10.0.0.255/32", "128.0.0.0/1", "255.255.255.255/32",
		"::/0", "fd00::/8", "fd00::/64", "fd00::/65", "fd00:0:0:1::/64", "fd00::1/128", "::ffff:0:0/96", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")
	protocols = []flow.Protocol{flow.TCP, flow.UDP, flow.SCTP, flow.ICMP, flow.ICMPv6, 47}
	ports     = []uint16{0, 1, 79, 80, 81, 443, 8080, 65534, 65535}
	classes   = []rule.Class{1, 2, 3, 63, 64, 65, 127, 128, 5000}
)

func parseAll[T any](parse func(string) T, texts ...string) []T {
	out := make([]T, len(texts))
	for i, text := range texts {
		out[i] = parse(text)
	}
	return out
}

func some[T any](t *rapid.T, from []T, most int, label string) []T {
	return rapid.SliceOfN(rapid.SampledFrom(from), 0, most).Draw(t, label)
}

// drawProgram draws a program of a tier.
func drawProgram(t *rapid.T, id rule.ProgramID, tier rule.Tier) *rule.Program {
	if tier != rule.NetworkPolicyTier {
		return &rule.Program{Tier: tier, Rules: drawRules(t, fmt.Sprintf("policy-%d", id), rule.ActionPass)}
	}
	p := &rule.Program{Tier: tier}
	for i := range rapid.IntRange(1, 3).Draw(t, "policies") {
		p.IsolatedBy = append(p.IsolatedBy, fmt.Sprintf("ns/policy-%d-%d", id, i))
	}
	p.Rules = drawRules(t, p.IsolatedBy[len(p.IsolatedBy)-1], rule.ActionDeny)
	return p
}

// tierOf returns the tier of a program. The tier depends only on the ID, because a program that a
// pod uses must keep its tier.
func tierOf(id rule.ProgramID) rule.Tier { return rule.Tier((id + 1) % rule.Tiers) }

// drawRules draws the rules of a policy. The `last` parameter is the action with the highest
// number that a rule may have.
func drawRules(t *rapid.T, policy string, last rule.Action) []rule.Rule {
	var out []rule.Rule
	for i := range rapid.IntRange(0, 5).Draw(t, "rules") {
		r := rule.Rule{Action: rule.ActionAccept, Policy: policy, Index: i}
		if rapid.IntRange(0, 4).Draw(t, "action") == 0 {
			r.Action = rule.Action(rapid.IntRange(int(rule.ActionDeny), int(last)).Draw(t, "other action"))
		}
		for range rapid.IntRange(0, 3).Draw(t, "matches") {
			r.Matches = append(r.Matches, drawMatch(t))
		}
		out = append(out, r)
	}
	return out
}

func drawMatch(t *rapid.T) rule.Match {
	m := rule.Match{Any: rapid.IntRange(0, 9).Draw(t, "any") == 0}
	m.Classes = some(t, classes, 4, "classes")
	slices.Sort(m.Classes)
	m.Classes = slices.Compact(m.Classes)
	for range rapid.IntRange(0, 3).Draw(t, "ports") {
		two := []uint16{rapid.SampledFrom(ports).Draw(t, "port"), rapid.SampledFrom(ports).Draw(t, "port")}
		slices.Sort(two)
		m.Ports = append(m.Ports, rule.Ports{Protocol: uint8(rapid.SampledFrom(protocols[:3]).Draw(t, "protocol")), First: two[0], Last: two[1]})
	}
	for _, prefix := range some(t, prefixes, 2, "blocks") {
		b := rule.Block{Prefix: prefix}
		for _, except := range some(t, prefixes, 3, "excepts") {
			if except.Bits() >= prefix.Bits() && prefix.Contains(except.Addr()) {
				b.Excepts = append(b.Excepts, except)
			}
		}
		m.Blocks = append(m.Blocks, b)
	}
	return m
}

// drawDelta draws a random delta that can be applied to the current rules.
func drawDelta(t *rapid.T, n *naive) rule.Delta {
	var d rule.Delta
	programs := maps.Clone(n.programs)
	for _, id := range distinct(t, []rule.ProgramID{1, 2, 3, 4, 5, 6, 9, 70002, 70003, 70004}, "program IDs") {
		programs[id] = drawProgram(t, id, tierOf(id))
		d.Programs = append(d.Programs, rule.ProgramChange{ID: id, Program: programs[id]})
	}
	draw := func(tier rule.Tier, label string) rule.ProgramID {
		ids := []rule.ProgramID{0}
		for _, id := range slices.Sorted(maps.Keys(programs)) {
			if tierOf(id) == tier {
				ids = append(ids, id)
			}
		}
		return rapid.SampledFrom(ids).Draw(t, label)
	}
	pods := maps.Clone(n.pods)
	for _, id := range distinct(t, []rule.PodID{1, 2, 3, 4, 1 << 31}, "pod IDs") {
		if rapid.IntRange(0, 3).Draw(t, "pod removed") == 0 {
			delete(pods, id)
			d.Pods = append(d.Pods, rule.PodChange{ID: id})
			continue
		}
		pods[id] = rule.Pod{
			Name:     fmt.Sprintf("ns/pod-%d-%d", id, rapid.IntRange(0, 1).Draw(t, "name")),
			Ingress:  draw(rule.NetworkPolicyTier, "ingress"),
			Egress:   draw(rule.NetworkPolicyTier, "egress"),
			Admin:    [2]rule.ProgramID{draw(rule.AdminTier, "Admin egress"), draw(rule.AdminTier, "Admin ingress")},
			Baseline: [2]rule.ProgramID{draw(rule.BaselineTier, "Baseline egress"), draw(rule.BaselineTier, "Baseline ingress")},
		}
		pod := pods[id]
		d.Pods = append(d.Pods, rule.PodChange{ID: id, Pod: &pod})
	}
	podIDs := slices.Sorted(maps.Keys(pods))
	chosen := distinct(t, addresses, "addresses")
	for a, owner := range n.addresses {
		// If a pod is removed, its addresses must be removed as well.
		if _, kept := pods[owner.Pod]; owner.Kind == rule.LocalPod && !kept && !slices.Contains(chosen, a) {
			d.Addresses = append(d.Addresses, rule.AddressChange{Addr: a})
		}
	}
	for _, a := range chosen {
		c := rule.AddressChange{Addr: a}
		switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
		case kind <= 1 && len(podIDs) > 0:
			c.Owner = rule.Owner{Kind: rule.LocalPod, Pod: rapid.SampledFrom(podIDs).Draw(t, "pod"), Class: rapid.SampledFrom(append([]rule.Class{0}, classes...)).Draw(t, "class")}
		case kind <= 3:
			c.Owner = rule.Owner{Kind: rule.RemotePod, Class: rapid.SampledFrom(classes).Draw(t, "class")}
		case kind == 4:
			c.Owner = rule.Owner{Kind: rule.ThisNode}
		}
		d.Addresses = append(d.Addresses, c)
	}
	for _, id := range slices.Sorted(maps.Keys(n.programs)) {
		used := false
		for _, pod := range pods {
			used = used || slices.Contains(sliceOf(pod.Programs()), id)
		}
		if sent := slices.ContainsFunc(d.Programs, func(c rule.ProgramChange) bool { return c.ID == id }); !used && !sent && rapid.Bool().Draw(t, "program removed") {
			d.Programs = append(d.Programs, rule.ProgramChange{ID: id})
		}
	}
	return d
}

func sliceOf[T any](array [2 * rule.Tiers]T) []T { return array[:] }

func distinct[T comparable](t *rapid.T, from []T, label string) []T {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, len(from), rapid.ID[T]).Draw(t, label)
}

func drawFlow(t *rapid.T) flow.Flow {
	return flow.Flow{
		Src: rapid.SampledFrom(addresses).Draw(t, "src"), Dst: rapid.SampledFrom(addresses).Draw(t, "dst"),
		Protocol: rapid.SampledFrom(protocols).Draw(t, "protocol"), DstPort: rapid.SampledFrom(ports).Draw(t, "port"),
	}
}

// explain evaluates a flow with a tree and returns both sides of the decision.
func explain(tr *tree.Tree, f flow.Flow) (egress, ingress explained) {
	d := tr.Evaluate(f)
	named := func(s rule.Side) explained {
		a := explained{Verdict: s.Verdict, Reason: s.Reason, Passed: tr.Passed(s), IsolatedBy: tr.IsolatedBy(s)}
		a.Rule, _ = tr.Rule(s)
		return a
	}
	return named(d.Egress), named(d.Ingress)
}

func TestRandomRulesAgreeWithNaiveImplementation(t *testing.T) {
	incremental, scratch := newFixture(t), newFixture(t)
	rapid.Check(t, func(rt *rapid.T) {
		rules, builder := newNaive(), build.New("node")
		for range rapid.IntRange(1, 4).Draw(rt, "deltas") {
			d := drawDelta(rt, rules)
			rules.apply(d)
			if err := builder.Apply(d); err != nil {
				rt.Fatalf("Apply: %v\n%+v", err, d)
			}
			whole := build.New("node")
			whole.SetFlatLimit(0)
			if err := whole.Apply(rules.everything()); err != nil {
				rt.Fatalf("Apply of everything: %v", err)
			}
			one, other := incremental.publish(rt, builder), scratch.publish(rt, whole)
			if a, b := one.Counts(), other.Counts(); a != b {
				rt.Fatalf("counts %+v, from scratch %+v", a, b)
			}
			for range 30 {
				checkFlow(rt, rules, one, other, drawFlow(rt))
			}
			checkPods(rt, rules, one)
		}
	})
}

func checkFlow(t *rapid.T, rules *naive, one, other *tree.Tree, f flow.Flow) {
	wantEgress, wantIngress := rules.evaluate(f)
	for name, tr := range map[string]*tree.Tree{"incremental": one, "from scratch": other} {
		egress, ingress := explain(tr, f)
		if diff := cmp.Diff([]explained{wantEgress, wantIngress}, []explained{egress, ingress}, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s: %s (-want +got):\n%s", name, f, diff)
		}
		if got, want := tr.Evaluate(f).Verdict() == rule.Allow, wantEgress.Verdict == rule.Allow && wantIngress.Verdict == rule.Allow; got != want {
			t.Fatalf("%s: %s: allowed %t, want %t", name, f, got, want)
		}
	}
}

func checkPods(t *rapid.T, rules *naive, tr *tree.Tree) {
	got, want := slices.Collect(tr.Pods()), rules.localPods()
	byName := cmpopts.SortSlices(func(a, b tree.Pod) bool { return a.Name < b.Name })
	byAddress := cmpopts.SortSlices(func(a, b netip.Addr) bool { return a.Less(b) })
	if diff := cmp.Diff(want, got, byName, byAddress, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Fatalf("pods (-want +got):\n%s", diff)
	}
	names := map[string]bool{}
	for _, p := range rules.programs {
		for _, name := range p.IsolatedBy {
			names[name] = true
		}
		for _, r := range p.Rules {
			names[r.Policy] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(names)), tr.Policies(), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("policies (-want +got):\n%s", diff)
	}
	for _, a := range addresses {
		name, ok := tr.Pod(a)
		owner := rules.addresses[a]
		if want := rules.pods[owner.Pod].Name; ok != (owner.Kind == rule.LocalPod) || ok && name != want {
			t.Fatalf("pod of %s: %q, %t; want %q", a, name, ok, want)
		}
	}
}
