package policy

import (
	"github.com/sluicenet/sluice/dataplane/rule"
)

// netpol is a NetworkPolicy worked out as far as it can be without pods. It is
// immutable but for its peers, which the snapshot replaces by shared ones.
type netpol struct {
	// serial tells states of one policy apart. Unique within a snapshot.
	serial uint32
	policy *Policy
	name   string
	rules  [2][]policyRule
}

// policyRule is one rule of a policy for one direction.
type policyRule struct {
	// index is the rule's place in the policy's list. Invalid rules have no
	// policyRule: they allow nothing.
	index int
	// everyPort: the rule lists no ports. Otherwise ports are those given by
	// number or by protocol alone, names those to be looked up.
	everyPort bool
	ports     []rule.Ports
	names     []portName
	// everyPeer: the rule lists no peers. Otherwise a peer is one of peers or
	// inside one of blocks.
	everyPeer bool
	peers     []*peer
	blocks    []rule.Block
	// named are, for egress, the peers of the rule once for each port name,
	// blocks among them: the target of a name is the peer.
	named []*peer
}

type portName struct {
	protocol uint8
	name     string
}

func compilePolicy(p *Policy) *netpol {
	np := &netpol{policy: p, name: p.String()}
	for _, d := range directions {
		for i, r := range p.Rules(d) {
			if !r.Invalid {
				np.rules[d] = append(np.rules[d], newPolicyRule(i, &r))
			}
		}
	}
	return np
}

func newPolicyRule(index int, in *Rule) policyRule {
	out := policyRule{index: index, everyPort: len(in.Ports) == 0, everyPeer: len(in.Peers) == 0}
	for _, p := range in.Ports {
		if p.Name != "" {
			out.names = append(out.names, portName{protocol: uint8(p.Protocol), name: p.Name})
		} else {
			out.ports = append(out.ports, rule.Ports{Protocol: uint8(p.Protocol), First: p.First, Last: p.Last})
		}
	}
	for _, p := range in.Peers {
		if p.Block == nil {
			out.peers = append(out.peers, peer{pods: p.PodSet}.keyed())
			continue
		}
		b := rule.Block{Prefix: p.Block.CIDR.Prefix}
		for _, e := range p.Block.Except {
			b.Excepts = append(b.Excepts, e.Prefix)
		}
		out.blocks = append(out.blocks, b)
	}
	if in.Direction == rule.Egress {
		out.lookUpAtPeers()
	}
	return out
}

// lookUpAtPeers makes one peer of every pair of peer and port name.
func (pr *policyRule) lookUpAtPeers() {
	for _, n := range pr.names {
		for _, p := range pr.peers {
			pr.named = append(pr.named, p.named(n.protocol, n.name))
		}
		for i := range pr.blocks {
			pr.named = append(pr.named, peer{everyPod: true, block: &pr.blocks[i]}.named(n.protocol, n.name))
		}
		if pr.everyPeer {
			pr.named = append(pr.named, peer{everyPod: true}.named(n.protocol, n.name))
		}
	}
	pr.names = nil
}

// eachPeer calls f for every place in the policy's rules that holds a peer.
func (np *netpol) eachPeer(f func(**peer)) {
	for d := range np.rules {
		for i := range np.rules[d] {
			np.rules[d][i].eachPeer(f)
		}
	}
}

func (pr *policyRule) eachPeer(f func(**peer)) {
	for i := range pr.peers {
		f(&pr.peers[i])
	}
	for i := range pr.named {
		f(&pr.named[i])
	}
}

// selects reports whether the policy's podSelector matches, in its namespace.
func (np *netpol) selects(c *cohort) bool { return np.policy.Subject.Pods.Matches(c.key.labels) }
