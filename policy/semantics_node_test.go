package policy_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/test/reference"
)

// nodeUnderTest is one node of a world: its compiler, and the tables that its
// deltas add up to, walked as they stand.
type nodeUnderTest struct {
	name     string
	compiler *policy.Compiler
	owners   map[netip.Addr]rule.Owner
	pods     map[rule.PodID]*rule.Pod
	programs map[rule.ProgramID]*rule.Program
}

// stateDirs is where trees are published.
type stateDirs struct{ root string }

func newStateDirs(t testing.TB) *stateDirs { return &stateDirs{root: t.TempDir()} }

func newNodeUnderTest(t tester, dirs *stateDirs, name string, s *policy.Snapshot) *nodeUnderTest {
	t.Helper()
	return &nodeUnderTest{
		name:     name,
		compiler: s.Compile(name),
		owners:   map[netip.Addr]rule.Owner{},
		pods:     map[rule.PodID]*rule.Pod{},
		programs: map[rule.ProgramID]*rule.Program{},
	}
}

func (n *nodeUnderTest) publish(t tester) {
	t.Helper()
	d := n.compiler.Delta()
	for _, c := range d.Addresses {
		n.owners[c.Addr] = c.Owner
	}
	for _, c := range d.Pods {
		n.pods[c.ID] = c.Pod
	}
	for _, c := range d.Programs {
		n.programs[c.ID] = c.Program
	}
}

func (n *nodeUnderTest) close() { n.compiler.Close() }

func (n *nodeUnderTest) lookup(f flow.Flow) (egress, ingress judgement) {
	src, dst := n.owners[f.Src], n.owners[f.Dst]
	egress = judgement{Verdict: rule.Allow, Reason: rule.Elsewhere}
	ingress = egress
	if src.Kind == rule.LocalPod && dst.Kind == rule.LocalPod && src.Pod == dst.Pod {
		same := judgement{Verdict: rule.Allow, Reason: rule.SamePod}
		return same, same
	}
	if src.Kind == rule.LocalPod {
		egress = n.run(n.pods[src.Pod].Egress, f, f.Dst, dst.Class)
	}
	if dst.Kind == rule.LocalPod {
		ingress = n.run(n.pods[dst.Pod].Ingress, f, f.Src, src.Class)
		if src.Kind == rule.ThisNode {
			ingress = judgement{Verdict: rule.Allow, Reason: rule.SameNode}
		}
	}
	return egress, ingress
}

func (n *nodeUnderTest) run(id rule.ProgramID, f flow.Flow, peer netip.Addr, class rule.Class) judgement {
	if id == 0 {
		return judgement{Verdict: rule.Allow, Reason: rule.NotIsolated}
	}
	p := n.programs[id]
	for _, r := range p.Rules {
		if slices.ContainsFunc(r.Matches, func(m rule.Match) bool { return matchesPort(m, f) && matchesPeer(m, peer, class) }) {
			return judgement{Verdict: rule.Allow, Reason: rule.Matched, Rule: reference.RuleRef{Policy: r.Policy, Index: r.Index}, IsolatedBy: p.IsolatedBy}
		}
	}
	return judgement{Verdict: rule.Deny, Reason: rule.NoRuleMatched, IsolatedBy: p.IsolatedBy}
}

func matchesPort(m rule.Match, f flow.Flow) bool {
	return len(m.Ports) == 0 || slices.ContainsFunc(m.Ports, func(p rule.Ports) bool {
		return uint8(f.Protocol) == p.Protocol && p.First <= f.DstPort && f.DstPort <= p.Last
	})
}

func matchesPeer(m rule.Match, peer netip.Addr, class rule.Class) bool {
	return m.Any || slices.Contains(m.Classes, class) || slices.ContainsFunc(m.Blocks, func(b rule.Block) bool {
		return b.Prefix.Contains(peer) && !slices.ContainsFunc(b.Excepts, func(p netip.Prefix) bool { return p.Contains(peer) })
	})
}
