package tree_test

import (
	"net/netip"
	"slices"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

func publishSmall(t *testing.T) *tree.Tree {
	t.Helper()
	b := build.New("node")
	if err := b.Apply(smallDelta()); err != nil {
		t.Fatal(err)
	}
	return newFixture(t).publish(t, b)
}

func tcp(src, dst string, port uint16) flow.Flow {
	return flow.Flow{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Protocol: flow.TCP, SrcPort: 40000, DstPort: port}
}

// acceptingRule returns an accepting rule of a NetworkPolicy.
func acceptingRule(policy string, index int) rule.Source {
	return rule.Source{Tier: rule.NetworkPolicyTier, Policy: policy, Index: index, Action: rule.ActionAccept}
}

func TestEvaluate(t *testing.T) {
	var (
		elsewhere   = explained{Verdict: rule.Allow, Reason: rule.Elsewhere}
		notIsolated = explained{Verdict: rule.Allow, Reason: rule.NotIsolated}
		samePod     = explained{Verdict: rule.Allow, Reason: rule.SamePod}
		policies    = []string{"shop/allow", "shop/deny"}
		denied      = explained{Reason: rule.NoRuleMatched, IsolatedBy: policies}
		allowed     = func(index int) explained {
			return explained{Verdict: rule.Allow, Reason: rule.Matched, Rule: acceptingRule("shop/allow", index), IsolatedBy: policies}
		}
		noEgress = explained{Reason: rule.NoRuleMatched, IsolatedBy: []string{"shop/deny"}}
		tiered   = func(verdict rule.Verdict, tier rule.Tier, policy string, index int) explained {
			return explained{Verdict: verdict, Reason: rule.Matched, Rule: rule.Source{Tier: tier, Policy: policy, Index: index, Action: rule.ActionDeny}}
		}
		passed = func(e explained) explained {
			e.Passed = []rule.Source{{Tier: rule.AdminTier, Policy: "first", Index: 0, Action: rule.ActionPass}}
			return e
		}
	)
	udp, sctp := tcp("10.0.1.1", "10.0.0.1", 53), tcp("fd00::1", "fd00:1::1", 3868)
	udp.Protocol, sctp.Protocol = flow.UDP, flow.SCTP
	icmp := tcp("10.0.1.1", "10.0.0.1", 80)
	icmp.Protocol = flow.ICMP
	tests := map[string]struct {
		flow            flow.Flow
		egress, ingress explained
	}{
		"class":                    {tcp("10.0.1.1", "10.0.0.1", 80), elsewhere, allowed(0)},
		"class, last port":         {tcp("10.0.1.1", "10.0.0.1", 90), elsewhere, allowed(0)},
		"class, IPv6":              {tcp("fd00:1::1", "fd00::1", 85), elsewhere, allowed(0)},
		"class, before ports":      {tcp("10.0.1.1", "10.0.0.1", 79), elsewhere, denied},
		"class, after ports":       {tcp("10.0.1.1", "10.0.0.1", 91), elsewhere, denied},
		"class, other protocol":    {udp, elsewhere, allowed(0)},
		"no ports":                 {icmp, elsewhere, denied},
		"block":                    {tcp("172.16.0.255", "10.0.0.1", 443), elsewhere, allowed(1)},
		"block, last address":      {tcp("172.31.255.255", "10.0.0.1", 443), elsewhere, allowed(1)},
		"before block":             {tcp("172.15.255.255", "10.0.0.1", 443), elsewhere, denied},
		"after block":              {tcp("172.32.0.0", "10.0.0.1", 443), elsewhere, denied},
		"except":                   {tcp("172.16.1.0", "10.0.0.1", 443), elsewhere, denied},
		"after except":             {tcp("172.16.2.0", "10.0.0.1", 443), elsewhere, allowed(1)},
		"block, IPv6":              {tcp("fd07:ffff::1", "fd00::1", 443), elsewhere, allowed(1)},
		"block, mapped address":    {tcp("::ffff:172.16.0.1", "fd00::1", 443), elsewhere, denied},
		"every peer":               {sctp, explained{Verdict: rule.Allow, Reason: rule.Matched, Rule: acceptingRule("shop/deny", 0), IsolatedBy: []string{"shop/deny"}}, elsewhere},
		"both ends are local pods": {tcp("10.0.0.1", "10.0.0.2", 80), noEgress, notIsolated},
		"to itself":                {tcp("10.0.0.1", "10.0.0.1", 80), samePod, samePod},
		"to itself, both families": {tcp("fd00::1", "10.0.0.1", 80), samePod, samePod},
		"from the node":            {tcp("192.168.0.1", "10.0.0.1", 22), elsewhere, explained{Verdict: rule.Allow, Reason: rule.SameNode}},
		"to the node":              {tcp("10.0.0.1", "192.168.0.1", 22), noEgress, elsewhere},
		"no end is a local pod":    {tcp("1.1.1.1", "10.0.1.1", 80), elsewhere, elsewhere},

		"S71 an Admin rule denies":            {tcp("10.0.0.2", "172.17.0.1", 22), tiered(rule.Deny, rule.AdminTier, "first", 1), elsewhere},
		"S70 a Baseline rule denies":          {tcp("10.0.0.2", "1.1.1.1", 80), tiered(rule.Deny, rule.BaselineTier, "last", 0), elsewhere},
		"S73 no rule decides":                 {tcp("10.0.0.2", "1.1.1.1", 81), notIsolated, elsewhere},
		"S71 a passed flow reaches Baseline":  {tcp("10.0.0.2", "10.0.0.1", 80), passed(tiered(rule.Deny, rule.BaselineTier, "last", 0)), denied},
		"S71 a passed flow that none decides": {tcp("10.0.0.2", "10.0.0.1", 22), passed(notIsolated), denied},
		"S80 to itself, Baseline applies":     {tcp("10.0.0.2", "10.0.0.2", 80), tiered(rule.Deny, rule.BaselineTier, "last", 0), samePod},
		"S80 to itself, no rule decides":      {tcp("10.0.0.2", "10.0.0.2", 81), samePod, samePod},
	}
	tr := publishSmall(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			egress, ingress := explain(tr, tt.flow)
			if diff := cmp.Diff([]explained{tt.egress, tt.ingress}, []explained{egress, ingress}, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.flow, diff)
			}
		})
	}
}

// TestZeroDecisionDenies checks that the verdict of an uninitialized rule.Decision is Deny.
func TestZeroDecisionDenies(t *testing.T) {
	if v := (rule.Decision{}).Verdict(); v != rule.Deny {
		t.Errorf("got %s", v)
	}
}

// TestDecisionFitsIntoRegisters checks that a rule.Decision has the size that its documentation
// promises.
func TestDecisionFitsIntoRegisters(t *testing.T) {
	if size := unsafe.Sizeof(rule.Decision{}); size > 32 {
		t.Errorf("a decision has %d bytes, want at most 32", size)
	}
}

func TestEvaluateAllocatesNothing(t *testing.T) {
	tr, flows := publishSmall(t), smallFlows()
	i := 0
	if n := testing.AllocsPerRun(len(flows), func() { tr.Evaluate(flows[i%len(flows)]); i++ }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTreeDescribesItself(t *testing.T) {
	tr := publishSmall(t)
	want := tree.Counts{Pods: 2, LocalAddresses: 3, Addresses: 6, Programs: 4, Rules: 7}
	if got := tr.Counts(); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if tr.Node() != "node" || tr.Generation() != 1 || tr.Size() == 0 {
		t.Errorf("node %q, generation %d, %d bytes", tr.Node(), tr.Generation(), tr.Size())
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if err := tr.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestNearMisses(t *testing.T) {
	byPort := func(index int, ports ...rule.Ports) rule.NearMiss {
		return rule.NearMiss{Source: acceptingRule("shop/allow", index), Differs: rule.PortPart, Ports: ports}
	}
	byPeer := func(index int) rule.NearMiss {
		return rule.NearMiss{Source: acceptingRule("shop/allow", index), Differs: rule.PeerPart}
	}
	tests := map[string]struct {
		flow flow.Flow
		want []rule.NearMiss
	}{
		"right peer, wrong port": {
			tcp("10.0.1.1", "10.0.0.1", 22),
			[]rule.NearMiss{byPort(0, rule.Ports{Protocol: 6, First: 80, Last: 90}, rule.Ports{Protocol: 17, First: 53, Last: 53})},
		},
		"right port, wrong peer":    {tcp("1.1.1.1", "10.0.0.1", 80), []rule.NearMiss{byPeer(0)}},
		"right port, wrong address": {tcp("1.1.1.1", "10.0.0.1", 443), []rule.NearMiss{byPeer(1)}},
		"peer of one rule, port of another": {
			tcp("172.17.0.1", "10.0.0.1", 80),
			[]rule.NearMiss{byPort(1, rule.Ports{Protocol: 6, First: 443, Last: 443}), byPeer(0)},
		},
		"no near miss":             {tcp("1.1.1.1", "10.0.0.1", 22), nil},
		"allowed":                  {tcp("10.0.1.1", "10.0.0.1", 80), nil},
		"not isolated for ingress": {tcp("10.0.0.1", "10.0.0.2", 80), nil},
	}
	tr := publishSmall(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := tr.NearMisses(tt.flow, rule.Ingress, tr.Evaluate(tt.flow).Ingress)
			if len(got)+len(tt.want) > 0 && cmp.Diff(tt.want, got) != "" {
				t.Errorf("near misses (-want +got):\n%s", cmp.Diff(tt.want, got))
			}
		})
	}
}

// Every near miss that the tree returns is also a near miss of the naive implementation. The tree
// must return at least one near miss by port if the naive implementation finds any, and if the
// program contains no deny rule.
func TestNearMissesAgreeWithNaiveImplementation(t *testing.T) {
	s := newFixture(t)
	rapid.Check(t, func(rt *rapid.T) {
		rules, b := newNaive(), build.New("node")
		d := drawDelta(rt, rules)
		rules.apply(d)
		if err := b.Apply(d); err != nil {
			rt.Fatalf("Apply: %v", err)
		}
		tr := s.publish(rt, b)
		for range 30 {
			f := drawFlow(rt)
			side := tr.Evaluate(f).Ingress
			if side.Verdict != rule.Deny {
				continue
			}
			last := rule.NetworkPolicyTier
			if source, ok := tr.Rule(side); ok {
				last = source.Tier
			}
			pod := rules.pods[rules.addresses[f.Dst].Pod]
			gotPort, gotPeer := splitMisses(tr.NearMisses(f, rule.Ingress, side))
			wantPort, wantPeer := rules.nearMisses(pod, rule.Ingress, last, f)
			if len(gotPort) == 0 && len(wantPort) > 0 && !rules.hasHidingRules(pod, rule.Ingress) {
				rt.Fatalf("%s: no near miss by port, want one of %+v", f, wantPort)
			}
			checkNearMisses(rt, f, "by port", gotPort, wantPort)
			checkNearMisses(rt, f, "by peer", gotPeer, wantPeer)
		}
	})
}

// hasHidingRules reports whether the pod has a rule that denies or passes flows. Such a rule can
// prevent later rules from deciding a flow.
func (n *naive) hasHidingRules(pod rule.Pod, d rule.Direction) bool {
	for tier := range rule.Tier(rule.Tiers) {
		p := n.programs[pod.Program(d, tier)]
		if p != nil && slices.ContainsFunc(p.Rules, func(r rule.Rule) bool { return r.Action != rule.ActionAccept }) {
			return true
		}
	}
	return false
}

// splitMisses returns the near misses by port and the near misses by peer as two lists. It
// keeps their order.
func splitMisses(misses []rule.NearMiss) (byPort, byPeer []rule.NearMiss) {
	for _, miss := range misses {
		if miss.Differs == rule.PortPart {
			byPort = append(byPort, miss)
		} else {
			byPeer = append(byPeer, miss)
		}
	}
	return byPort, byPeer
}

func checkNearMisses(t *rapid.T, f flow.Flow, what string, got, want []rule.NearMiss) {
	t.Helper()
	for _, miss := range got {
		if !hasMiss(want, miss) {
			t.Fatalf("%s: %s: %+v is not one of %+v", f, what, miss, want)
		}
	}
}

func hasMiss(list []rule.NearMiss, miss rule.NearMiss) bool {
	for _, other := range list {
		if other.Source != miss.Source {
			continue
		}
		all := true
		for _, p := range miss.Ports {
			for _, port := range []uint16{p.First, p.Last} {
				within := false
				for _, q := range other.Ports {
					within = within || q.Protocol == p.Protocol && q.First <= port && port <= q.Last
				}
				all = all && within
			}
		}
		return all
	}
	return false
}
