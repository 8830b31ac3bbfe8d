package compile

import (
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// compiledPolicy contains the compiled rules of a policy for one direction. At least one
// program uses it.
type compiledPolicy struct {
	key policyKey
	// serial distinguishes versions of policies in the keys of programs. A serial is never
	// assigned twice.
	serial uint32
	// name has the format "namespace/name".
	name string
	// rules contains the valid rules of the policy.
	rules []compiledRule
	// refs is the number of programs that use the policy.
	refs int
}

// policyKey identifies one direction of one version of a policy.
type policyKey struct {
	policy    *policy.Policy
	direction rule.Direction
}

// compiledRule is one rule of a policy with its peers resolved.
type compiledRule struct {
	action rule.Action
	// index is the index of the rule in the policy. Invalid rules count too.
	index int
	// everyPort is true if the rule lists no ports. Otherwise ports contains the numbered
	// ports of the rule, and names contains the named ports.
	everyPort bool
	ports     []rule.Ports
	names     []portName
	// everyPeer is true if the rule lists no peers. Otherwise an address matches if it is
	// in one of peers or in one of blocks.
	everyPeer bool
	peers     []*peer
	blocks    []rule.Block
	// named is used instead of names in egress rules, because destination pods can resolve
	// the same name to different numbers. It contains one peer for every pair of a port
	// name and a peer or block of the rule.
	named []*peer
}

// policy returns the compiled rules of a policy for one direction. The caller must use the
// result in a program and count the program in refs.
func (c *Compiler) policy(p *policy.Policy, d rule.Direction) *compiledPolicy {
	key := policyKey{p, d}
	out := c.policies[key]
	if out != nil {
		return out
	}
	c.serial++
	out = &compiledPolicy{key: key, serial: c.serial, name: p.String()}
	for i := range p.Rules(d) {
		if r := &p.Rules(d)[i]; !r.Invalid {
			out.rules = append(out.rules, c.rule(i, r))
		}
	}
	c.policies[key] = out
	return out
}

func (c *Compiler) releasePolicy(p *compiledPolicy) {
	if p.refs--; p.refs == 0 {
		delete(c.policies, p.key)
	}
}

func (c *Compiler) rule(index int, in *policy.Rule) compiledRule {
	out := compiledRule{action: in.Action, index: index, everyPort: len(in.Ports) == 0, everyPeer: len(in.Peers) == 0}
	for _, p := range in.Ports {
		if p.Name != "" {
			out.names = append(out.names, portName{p.Protocol, p.Name})
		} else {
			out.ports = append(out.ports, rule.Ports{Protocol: uint8(p.Protocol), First: p.First, Last: p.Last})
		}
	}
	if in.Direction == rule.Egress {
		out.named, out.names = c.namedPeers(in, out.names), nil
	}
	for i := range in.Peers {
		if p := &in.Peers[i]; p.Block != nil {
			out.blocks = append(out.blocks, block(p.Block))
		} else {
			out.peers = append(out.peers, c.peers.get(peerKey{pods: p.PodSet}, nil))
		}
	}
	return out
}

// namedPeers returns one peer for every pair of a peer of the rule and a port name. If the
// rule has no peers, namedPeers returns one peer for each name, which matches pods in all
// namespaces.
func (c *Compiler) namedPeers(in *policy.Rule, names []portName) (out []*peer) {
	for _, n := range names {
		for i := range in.Peers {
			p := &in.Peers[i]
			if p.Block == nil {
				out = append(out, c.peers.get(peerKey{pods: p.PodSet, protocol: n.protocol, portName: n.name}, nil))
			} else {
				out = append(out, c.peers.get(peerKey{anyPod: true, block: p.Block.Key(), protocol: n.protocol, portName: n.name}, p.Block))
			}
		}
		if len(in.Peers) == 0 {
			out = append(out, c.peers.get(peerKey{anyPod: true, protocol: n.protocol, portName: n.name}, nil))
		}
	}
	return out
}

func block(in *policy.Block) rule.Block {
	out := rule.Block{Prefix: in.CIDR.Prefix}
	for _, e := range in.Except {
		out.Excepts = append(out.Excepts, e.Prefix)
	}
	return out
}
