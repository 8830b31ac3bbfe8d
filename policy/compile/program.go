package compile

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

var directions = [...]rule.Direction{rule.Egress, rule.Ingress}

// program contains the rules of one tier for local pods in one direction. It depends on two
// things: the policies of the tier that affect the pods, and the port numbers to which the port
// names in ingress rules resolve. Pods for which both are equal share a program.
type program struct {
	id       rule.ProgramID
	tier     rule.Tier
	key      string
	policies []*compiledPolicy
	// ports are the named ports of one of the pods. All pods that share the program resolve
	// the port names in its rules to the same numbers.
	ports policy.ContainerPorts
	// refs is the number of local pods that use the program.
	refs  int
	dirty bool
}

// assignPrograms assigns programs to the local pods that changed. It also assigns programs to
// all local pods in namespaces whose policies changed.
func (c *Compiler) assignPrograms(d *rule.Delta) {
	pods := c.changes.Pods
	if len(c.changes.Namespaces) > 0 {
		changed := map[string]bool{}
		for ns := range c.changes.Namespaces {
			changed[ns.Name()] = true
		}
		for p := range c.pods {
			if changed[p.Namespace] {
				pods = append(pods, p)
			}
		}
	}
	assigned := map[*policy.Cohort]podPrograms{}
	for _, p := range pods {
		cohort := p.Cohort()
		if cohort == nil || p.Node != c.node {
			c.dropPod(p, d)
			continue
		}
		programs, ok := assigned[cohort]
		if !ok {
			for _, direction := range directions {
				programs[direction] = c.programsFor(cohort, direction)
			}
			assigned[cohort] = programs
		}
		c.setPrograms(p, programs, d)
	}
}

func (c *Compiler) setPrograms(p *policy.TrackedPod, programs podPrograms, d *rule.Delta) {
	local := c.pods[p]
	if local == nil {
		local = &localPod{id: rule.PodID(c.podIDs.take())}
		c.pods[p] = local
	} else if local.programs == programs {
		return
	}
	programs.addRef(1)
	local.programs.addRef(-1)
	local.programs = programs
	pod := &rule.Pod{
		Name:    p.String(),
		Ingress: programs[rule.Ingress][rule.NetworkPolicyTier].number(),
		Egress:  programs[rule.Egress][rule.NetworkPolicyTier].number(),
	}
	for _, direction := range directions {
		pod.Admin[direction] = programs[direction][rule.AdminTier].number()
		pod.Baseline[direction] = programs[direction][rule.BaselineTier].number()
	}
	d.Pods = append(d.Pods, rule.PodChange{ID: local.id, Pod: pod})
}

func (c *Compiler) dropPod(p *policy.TrackedPod, d *rule.Delta) {
	local := c.pods[p]
	if local == nil {
		return
	}
	local.programs.addRef(-1)
	delete(c.pods, p)
	c.podIDs.release(uint32(local.id))
	d.Pods = append(d.Pods, rule.PodChange{ID: local.id})
}

// addRef adds n to the number of local pods that use each of the programs.
func (programs *podPrograms) addRef(n int) {
	for _, tiers := range programs {
		for _, p := range tiers {
			if p != nil {
				p.refs += n
			}
		}
	}
}

// number returns the ID of the program, or 0 if the program is nil.
func (p *program) number() rule.ProgramID {
	if p == nil {
		return 0
	}
	return p.id
}

// programsFor returns the programs for a cohort's pods in one direction, by tier.
func (c *Compiler) programsFor(cohort *policy.Cohort, direction rule.Direction) (out [rule.Tiers]*program) {
	var policies [rule.Tiers][]*compiledPolicy
	for _, p := range cohort.Policies() {
		if p.Affects(direction) && p.SelectsCohort(cohort) {
			policies[p.Tier] = append(policies[p.Tier], c.policy(p, direction))
		}
	}
	for tier := range out {
		if len(policies[tier]) > 0 {
			out[tier] = c.programFor(cohort, direction, rule.Tier(tier), policies[tier])
		}
	}
	return out
}

// programFor returns the program with the given policies of a tier. If no such program exists,
// programFor creates the program.
func (c *Compiler) programFor(cohort *policy.Cohort, direction rule.Direction, tier rule.Tier, policies []*compiledPolicy) *program {
	var buf [256]byte
	key := append(buf[:0], byte(direction), byte(tier))
	for _, p := range policies {
		key = binary.NativeEndian.AppendUint32(key, p.serial)
	}
	for _, p := range policies {
		for i := range p.rules {
			for _, n := range p.rules[i].names {
				key = binary.NativeEndian.AppendUint16(key, cohort.Ports().Number(n.protocol, n.name))
			}
		}
	}
	if p := c.programs[string(key)]; p != nil {
		return p
	}
	return c.newProgram(string(key), tier, policies, cohort.Ports())
}

func (c *Compiler) newProgram(key string, tier rule.Tier, policies []*compiledPolicy, ports policy.ContainerPorts) *program {
	p := &program{id: rule.ProgramID(c.programIDs.take()), tier: tier, key: key, policies: policies, ports: ports}
	c.programs[key] = p
	c.markDirty(p)
	for _, compiled := range policies {
		compiled.refs++
	}
	p.eachPeer(func(used *peer) { used.programs[p] = struct{}{} })
	return p
}

// eachPeer calls the function f with every peer in the program's rules. It can call f more
// than once with the same peer.
func (p *program) eachPeer(f func(*peer)) {
	for _, compiled := range p.policies {
		for i := range compiled.rules {
			for _, used := range compiled.rules[i].peers {
				f(used)
			}
			for _, used := range compiled.rules[i].named {
				f(used)
			}
		}
	}
}

func (c *Compiler) markDirty(p *program) {
	if !p.dirty {
		p.dirty = true
		c.dirty = append(c.dirty, p)
	}
}

// retirePrograms removes the programs that no pod uses.
func (c *Compiler) retirePrograms(d *rule.Delta) {
	for key, p := range c.programs {
		if p.refs > 0 {
			continue
		}
		delete(c.programs, key)
		p.dirty = false
		p.eachPeer(func(used *peer) { c.peers.release(used, p) })
		for _, compiled := range p.policies {
			c.releasePolicy(compiled)
		}
		c.programIDs.release(uint32(p.id))
		d.Programs = append(d.Programs, rule.ProgramChange{ID: p.id})
	}
}

// writePrograms compiles new programs, and programs in which a peer gained or lost a class.
// It adds these programs to the delta.
func (c *Compiler) writePrograms(d *rule.Delta) {
	for _, p := range c.dirty {
		if p.dirty {
			p.dirty = false
			d.Programs = append(d.Programs, rule.ProgramChange{ID: p.id, Program: c.write(p)})
		}
	}
	c.dirty = c.dirty[:0]
}

func (c *Compiler) write(p *program) *rule.Program {
	out := &rule.Program{Tier: p.tier}
	for _, compiled := range p.policies {
		if p.tier == rule.NetworkPolicyTier {
			out.IsolatedBy = append(out.IsolatedBy, compiled.name)
		}
		for i := range compiled.rules {
			in := &compiled.rules[i]
			r := rule.Rule{Action: in.action, Policy: compiled.name, Index: in.index, Fingerprint: in.fingerprint}
			if m, ok := in.matchNumbers(p.ports, c.nodeBlocks(in)); ok {
				r.Matches = append(r.Matches, m)
			}
			for _, named := range in.named {
				r.Matches = append(r.Matches, named.matchName()...)
			}
			if len(r.Matches) > 0 {
				out.Rules = append(out.Rules, r)
			}
		}
	}
	return out
}

// nodeBlocks returns one block for each address of the nodes that are peers of a rule.
func (c *Compiler) nodeBlocks(in *compiledRule) []rule.Block {
	var out []rule.Block
	for _, selector := range in.nodes {
		for a := range c.snapshot.NodeAddresses(selector) {
			out = append(out, rule.Block{Prefix: netip.PrefixFrom(a, a.BitLen())})
		}
	}
	slices.SortFunc(out, func(a, b rule.Block) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	return slices.CompactFunc(out, func(a, b rule.Block) bool { return a.Prefix == b.Prefix })
}

// markNodePrograms marks the programs in which nodes are peers as dirty.
func (c *Compiler) markNodePrograms() {
	for _, p := range c.programs {
		if slices.ContainsFunc(p.policies, func(compiled *compiledPolicy) bool {
			return slices.ContainsFunc(compiled.rules, func(r compiledRule) bool { return len(r.nodes) > 0 })
		}) {
			c.markDirty(p)
		}
	}
}

// matchNumbers returns a match for those ports of the rule whose numbers do not depend on the
// peer. These are the numbered ports, and the port names for which the `ports` parameter contains
// a number. The `nodes` parameter contains the addresses of the nodes that are peers of the rule. If
// no flow can match, the second result is false.
func (in *compiledRule) matchNumbers(ports policy.ContainerPorts, nodes []rule.Block) (rule.Match, bool) {
	m := rule.Match{Ports: slices.Clip(in.ports), Any: in.everyPeer}
	for _, n := range in.names {
		if number := ports.Number(n.protocol, n.name); number != 0 {
			m.Ports = append(m.Ports, rule.Ports{Protocol: uint8(n.protocol), First: number, Last: number})
		}
	}
	if !in.everyPort && len(m.Ports) == 0 {
		return m, false
	}
	if m.Any {
		return m, true
	}
	m.Blocks = slices.Concat(in.blocks, nodes)
	for _, p := range in.peers {
		for cl := range p.classes {
			m.Classes = append(m.Classes, cl.id)
		}
	}
	slices.Sort(m.Classes)
	m.Classes = slices.Compact(m.Classes)
	return m, len(m.Blocks) > 0 || len(m.Classes) > 0
}

// matchName returns the matches of a peer with a port name. Pods of the peer can resolve the name
// to different numbers, and there is one match for each number.
func (p *peer) matchName() []rule.Match {
	byNumber := map[uint16][]rule.Class{}
	for cl, number := range p.classes {
		byNumber[number] = append(byNumber[number], cl.id)
	}
	var out []rule.Match
	for number, classes := range byNumber {
		slices.Sort(classes)
		out = append(out, rule.Match{Ports: []rule.Ports{{Protocol: uint8(p.key.protocol), First: number, Last: number}}, Classes: classes})
	}
	slices.SortFunc(out, func(a, b rule.Match) int { return int(a.Ports[0].First) - int(b.Ports[0].First) })
	return out
}

// portName is a port name in a rule, and the protocol of the port.
type portName struct {
	protocol flow.Protocol
	name     string
}
