package compile

import (
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/fingerprint"
	"github.com/sluicenet/sluice/policy/label"
)

// compiledPolicy contains the compiled rules of a policy for one direction. At least one
// program uses these rules.
type compiledPolicy struct {
	key policyKey
	// serial identifies the compiled policy in program keys. A serial is never reused.
	serial uint32
	// name is the name of the policy in the tree. See policy.Policy.String.
	name string
	// rules contains the valid rules of the policy.
	rules []compiledRule
	// refs is the number of programs that use the policy.
	refs int
}

// policyKey identifies a policy version and a direction.
type policyKey struct {
	policy    *policy.Policy
	direction rule.Direction
}

// compiledRule is a rule of a policy in which each peer is resolved to a *peer or a block.
type compiledRule struct {
	action rule.Action
	// index is the position of the rule in the policy, counting invalid rules.
	index int
	// The field `fingerprint` identifies the rule in all trees. See package fingerprint.
	fingerprint uint64
	// If the rule lists no ports, everyPort is true. Otherwise the `ports` field contains the
	// numbered ports of the rule, and the `names` field contains the named ports.
	everyPort bool
	ports     []rule.Ports
	names     []portName
	// If the rule lists no peers, everyPeer is true. Otherwise the rule matches an address if one
	// of its peers matches the address, or if one of its blocks contains the address.
	everyPeer bool
	peers     []*peer
	blocks    []rule.Block
	// nodes contains the selectors of those peers that are nodes.
	nodes []label.Selector
	// Egress rules use `named` instead of `names`, because destination pods can resolve the same
	// port name to different numbers. The `named` field contains one peer for every combination of
	// a port name with a peer or block of the rule.
	named []*peer
}

// The method `policy` returns the compiled rules of a policy for one direction. The caller must
// use the result in a program, and increment the `refs` field of the result.
func (c *Compiler) policy(p *policy.Policy, d rule.Direction) *compiledPolicy {
	key := policyKey{p, d}
	out := c.policies[key]
	if out != nil {
		return out
	}
	c.serial++
	out = &compiledPolicy{key: key, serial: c.serial, name: p.String()}
	fingerprints := fingerprint.Rules(p, d)
	for i := range p.Rules(d) {
		if r := &p.Rules(d)[i]; !r.Invalid {
			out.rules = append(out.rules, c.rule(i, r))
			out.rules[len(out.rules)-1].fingerprint = fingerprints[i]
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
		switch p := &in.Peers[i]; {
		case p.Invalid: // The peer matches nothing.
		case p.Block != nil:
			out.blocks = append(out.blocks, block(p.Block))
		case p.OfNodes:
			out.nodes = append(out.nodes, p.Nodes)
		default:
			out.peers = append(out.peers, c.peers.get(peerKey{pods: p.PodSet}, nil))
		}
	}
	return out
}

// namedPeers returns one peer for every combination of a port name with a peer of the rule. It skips
// nodes, because they have no port names.
// If the rule has no peers, namedPeers returns one peer for each name. This peer matches pods
// in all namespaces.
func (c *Compiler) namedPeers(in *policy.Rule, names []portName) (out []*peer) {
	for _, n := range names {
		for i := range in.Peers {
			p := &in.Peers[i]
			if p.OfNodes || p.Invalid {
				continue
			}
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
