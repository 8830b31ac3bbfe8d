package tree_test

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// naive is a slow but obvious implementation of evaluation. The tests compare its decisions
// with the decisions of a tree. naive stores the rules of a node in maps, and checks one rule
// after the other.
type naive struct {
	addresses map[netip.Addr]rule.Owner
	pods      map[rule.PodID]rule.Pod
	programs  map[rule.ProgramID]*rule.Program
}

func newNaive() *naive {
	return &naive{map[netip.Addr]rule.Owner{}, map[rule.PodID]rule.Pod{}, map[rule.ProgramID]*rule.Program{}}
}

func (n *naive) apply(d rule.Delta) {
	for _, c := range d.Addresses {
		if n.addresses[c.Addr] = c.Owner; c.Owner.Kind == rule.NoOwner {
			delete(n.addresses, c.Addr)
		}
	}
	for _, c := range d.Pods {
		if c.Pod == nil {
			delete(n.pods, c.ID)
		} else {
			n.pods[c.ID] = *c.Pod
		}
	}
	for _, c := range d.Programs {
		if n.programs[c.ID] = c.Program; c.Program == nil {
			delete(n.programs, c.ID)
		}
	}
}

// everything returns one delta with all rules, in random order.
func (n *naive) everything() rule.Delta {
	var d rule.Delta
	for a, owner := range n.addresses {
		d.Addresses = append(d.Addresses, rule.AddressChange{Addr: a, Owner: owner})
	}
	for id, pod := range n.pods {
		d.Pods = append(d.Pods, rule.PodChange{ID: id, Pod: &pod})
	}
	for id, program := range n.programs {
		d.Programs = append(d.Programs, rule.ProgramChange{ID: id, Program: program})
	}
	return d
}

// explained is one side of a decision. Policy and Index identify the rule that determines the
// verdict. IsolatedBy contains the names of the policies that isolate the pod.
type explained struct {
	Verdict    rule.Verdict
	Reason     rule.Reason
	Policy     string
	Index      int
	IsolatedBy []string
}

func (n *naive) evaluate(f flow.Flow) (egress, ingress explained) {
	elsewhere := explained{Verdict: rule.Allow, Reason: rule.Elsewhere}
	egress, ingress = elsewhere, elsewhere
	src, dst := n.addresses[f.Src], n.addresses[f.Dst]
	if src.Kind == rule.LocalPod && dst.Kind == rule.LocalPod && src.Pod == dst.Pod {
		self := explained{Verdict: rule.Allow, Reason: rule.SamePod}
		return self, self
	}
	if src.Kind == rule.LocalPod {
		egress = n.side(n.pods[src.Pod].Egress, f, f.Dst, dst)
	}
	if dst.Kind == rule.LocalPod {
		ingress = n.side(n.pods[dst.Pod].Ingress, f, f.Src, src)
		if src.Kind == rule.ThisNode {
			ingress = explained{Verdict: rule.Allow, Reason: rule.SameNode}
		}
	}
	return egress, ingress
}

func (n *naive) side(id rule.ProgramID, f flow.Flow, peer netip.Addr, owner rule.Owner) explained {
	if id == 0 {
		return explained{Verdict: rule.Allow, Reason: rule.NotIsolated}
	}
	program := n.programs[id]
	for _, r := range program.Rules {
		if slices.ContainsFunc(r.Matches, func(m rule.Match) bool { return hasPort(m, f) && hasPeer(m, peer, owner) }) {
			a := explained{Reason: rule.Matched, Policy: r.Policy, Index: r.Index, IsolatedBy: program.IsolatedBy}
			if r.Action == rule.ActionAccept {
				a.Verdict = rule.Allow
			}
			return a
		}
	}
	return explained{Reason: rule.NoRuleMatched, IsolatedBy: program.IsolatedBy}
}

func hasPort(m rule.Match, f flow.Flow) bool {
	return len(m.Ports) == 0 || slices.ContainsFunc(m.Ports, func(p rule.Ports) bool {
		return p.Protocol == uint8(f.Protocol) && p.First <= f.DstPort && f.DstPort <= p.Last
	})
}

func hasPeer(m rule.Match, peer netip.Addr, owner rule.Owner) bool {
	return m.Any || owner.Class != 0 && slices.Contains(m.Classes, owner.Class) || slices.ContainsFunc(m.Blocks, func(b rule.Block) bool {
		return b.Prefix.Contains(peer) && !slices.ContainsFunc(b.Excepts, func(e netip.Prefix) bool { return e.Contains(peer) })
	})
}

// nearMisses returns the near misses in a program as two lists. byPort contains the rules that
// allow the peer, with the ports at which they allow it. byPeer contains the rules that allow
// other peers at the port of the flow.
func (n *naive) nearMisses(id rule.ProgramID, f flow.Flow, peer netip.Addr, owner rule.Owner) (byPort, byPeer []rule.NearMiss) {
	for _, r := range n.programs[id].Rules {
		if r.Action != rule.ActionAccept {
			continue
		}
		miss := rule.NearMiss{Policy: r.Policy, Index: r.Index}
		if slices.ContainsFunc(r.Matches, func(m rule.Match) bool { return hasPort(m, f) && (m.Any || len(m.Classes)+len(m.Blocks) > 0) }) {
			byPeer = append(byPeer, miss)
		}
		for _, m := range r.Matches {
			if hasPeer(m, peer, owner) {
				miss.Ports = append(miss.Ports, m.Ports...)
			}
		}
		if len(miss.Ports) > 0 {
			byPort = append(byPort, miss)
		}
	}
	return byPort, byPeer
}

func (n *naive) localPods() []tree.Pod {
	var pods []tree.Pod
	for _, id := range slices.Sorted(maps.Keys(n.pods)) {
		p := tree.Pod{Name: n.pods[id].Name, EgressIsolated: n.pods[id].Egress != 0, IngressIsolated: n.pods[id].Ingress != 0}
		for a, owner := range n.addresses {
			if owner.Kind == rule.LocalPod && owner.Pod == id {
				p.Addresses = append(p.Addresses, a)
			}
		}
		pods = append(pods, p)
	}
	return pods
}
