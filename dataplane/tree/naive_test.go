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

// explained is one side of a decision, with its explanation. Rule identifies the rule that
// determines the verdict. Passed contains the rules that passed the flow to the next tier.
// IsolatedBy contains the names of the policies that isolate the pod.
type explained struct {
	Verdict    rule.Verdict
	Reason     rule.Reason
	Rule       rule.Source
	Passed     []rule.Source
	IsolatedBy []string
}

func (n *naive) evaluate(f flow.Flow) (egress, ingress explained) {
	elsewhere := explained{Verdict: rule.Allow, Reason: rule.Elsewhere}
	egress, ingress = elsewhere, elsewhere
	src, dst := n.addresses[f.Src], n.addresses[f.Dst]
	if src.Kind == rule.LocalPod && dst.Kind == rule.LocalPod && src.Pod == dst.Pod {
		pod := n.pods[src.Pod]
		return n.side(pod, rule.Egress, f, rule.SamePod), n.side(pod, rule.Ingress, f, rule.SamePod)
	}
	if src.Kind == rule.LocalPod {
		egress = n.side(n.pods[src.Pod], rule.Egress, f, rule.NotIsolated)
	}
	if dst.Kind == rule.LocalPod {
		ingress = n.side(n.pods[dst.Pod], rule.Ingress, f, rule.NotIsolated)
		if src.Kind == rule.ThisNode {
			ingress = explained{Verdict: rule.Allow, Reason: rule.SameNode}
		}
	}
	return egress, ingress
}

// side evaluates one side of a pod's flow. If no tier decides the side, the reason is `undecided`.
// If `undecided` is SamePod, NetworkPolicies do not apply.
func (n *naive) side(pod rule.Pod, d rule.Direction, f flow.Flow, undecided rule.Reason) explained {
	out := explained{Verdict: rule.Allow, Reason: undecided}
	for _, tier := range []rule.Tier{rule.AdminTier, rule.NetworkPolicyTier, rule.BaselineTier} {
		program := n.programs[pod.Program(d, tier)]
		if program == nil || tier == rule.NetworkPolicyTier && undecided == rule.SamePod {
			continue
		}
		r := n.firstMatch(program.Rules, d, f)
		if tier == rule.NetworkPolicyTier {
			out.IsolatedBy = program.IsolatedBy
		}
		switch {
		case r == nil && tier == rule.NetworkPolicyTier:
			out.Verdict, out.Reason = rule.Deny, rule.NoRuleMatched
			return out
		case r == nil:
			continue
		}
		source := rule.Source{Tier: tier, Policy: r.Policy, Index: r.Index, Action: r.Action}
		if r.Action == rule.ActionPass {
			out.Passed = append(out.Passed, source)
			continue
		}
		out.Reason, out.Rule = rule.Matched, source
		if r.Action == rule.ActionDeny {
			out.Verdict = rule.Deny
		}
		return out
	}
	return out
}

// peer returns the address of the flow's peer: the destination for egress, or the source for
// ingress. It also returns the owner of this address.
func (n *naive) peer(d rule.Direction, f flow.Flow) (netip.Addr, rule.Owner) {
	if d == rule.Egress {
		return f.Dst, n.addresses[f.Dst]
	}
	return f.Src, n.addresses[f.Src]
}

func (n *naive) firstMatch(rules []rule.Rule, d rule.Direction, f flow.Flow) *rule.Rule {
	peer, owner := n.peer(d, f)
	i := slices.IndexFunc(rules, func(r rule.Rule) bool {
		return slices.ContainsFunc(r.Matches, func(m rule.Match) bool { return hasPort(m, f) && hasPeer(m, peer, owner) })
	})
	if i < 0 {
		return nil
	}
	return &rules[i]
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

// nearMisses returns the near misses in the programs of a pod, in two lists. It searches the tiers
// up to the tier `last`. The list `byPort` contains the rules that allow the peer at other ports,
// with these ports. The list `byPeer` contains the rules that allow other peers at the port of the
// flow.
func (n *naive) nearMisses(pod rule.Pod, d rule.Direction, last rule.Tier, f flow.Flow) (byPort, byPeer []rule.NearMiss) {
	peer, owner := n.peer(d, f)
	for tier := rule.AdminTier; tier <= last; tier++ {
		program := n.programs[pod.Program(d, tier)]
		if program == nil {
			continue
		}
		for _, r := range program.Rules {
			if r.Action != rule.ActionAccept {
				continue
			}
			miss := rule.NearMiss{Source: rule.Source{Tier: tier, Policy: r.Policy, Index: r.Index, Action: r.Action}}
			if slices.ContainsFunc(r.Matches, func(m rule.Match) bool { return hasPort(m, f) && (m.Any || len(m.Classes)+len(m.Blocks) > 0) }) {
				byPeer = append(byPeer, miss)
			}
			for _, m := range r.Matches {
				if hasPeer(m, peer, owner) && len(m.Ports) == 0 {
					miss.Ports = append(miss.Ports, everyPort...)
				} else if hasPeer(m, peer, owner) {
					miss.Ports = append(miss.Ports, m.Ports...)
				}
			}
			if len(miss.Ports) > 0 {
				byPort = append(byPort, miss)
			}
		}
	}
	return byPort, byPeer
}

// everyPort contains the ports of a match without ports.
var everyPort = []rule.Ports{{Protocol: 6, Last: 65535}, {Protocol: 17, Last: 65535}, {Protocol: 132, Last: 65535}}

// denies reports whether a pod has at least one program for the direction that can deny a flow.
func (n *naive) denies(pod rule.Pod, d rule.Direction) bool {
	for tier := range rule.Tier(rule.Tiers) {
		if p := n.programs[pod.Program(d, tier)]; p != nil && p.Denies() {
			return true
		}
	}
	return false
}

func (n *naive) localPods() []tree.Pod {
	var pods []tree.Pod
	for _, id := range slices.Sorted(maps.Keys(n.pods)) {
		p := tree.Pod{Name: n.pods[id].Name, DeniesEgress: n.denies(n.pods[id], rule.Egress), DeniesIngress: n.denies(n.pods[id], rule.Ingress)}
		for a, owner := range n.addresses {
			if owner.Kind == rule.LocalPod && owner.Pod == id {
				p.Addresses = append(p.Addresses, a)
			}
		}
		pods = append(pods, p)
	}
	return pods
}
