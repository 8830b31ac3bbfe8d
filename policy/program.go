package policy

import (
	"encoding/binary"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
)

var directions = [...]rule.Direction{rule.Egress, rule.Ingress}

// program is what judges local pods in one direction: the policies that
// isolate them, with the ingress rules' port names looked up. Pods for which
// all of that is the same share it.
type program struct {
	id        rule.ProgramID
	key       string
	direction rule.Direction
	policies  []*netpol
	// ports are those of a pod the program judges. What the program looks up
	// in them is the same for all its pods.
	ports []ContainerPort
	refs  int
	dirty bool
}

// assignPrograms gives every touched local pod its programs.
func (c *Compiler) assignPrograms(d *rule.Delta) {
	for _, ns := range c.touchedNamespaces {
		for p := range c.pods {
			if p.ns == ns {
				c.touchedPods = append(c.touchedPods, p)
			}
		}
	}
	known := map[*cohort][2]*program{}
	for _, p := range c.touchedPods {
		local := c.pods[p]
		if p.cohort == nil || p.Node != c.node {
			if local != nil {
				c.dropPod(p, local)
				d.Pods = append(d.Pods, rule.PodChange{ID: local.id})
			}
			continue
		}
		programs, ok := known[p.cohort]
		if !ok {
			for _, direction := range directions {
				programs[direction] = c.programFor(p.cohort, direction)
			}
			known[p.cohort] = programs
		}
		switch {
		case local == nil:
			local = &localPod{id: rule.PodID(c.podIDs.take())}
			c.pods[p] = local
		case local.programs == programs:
			continue
		}
		for _, direction := range directions {
			hold(programs[direction])
			letGo(local.programs[direction])
		}
		local.programs = programs
		d.Pods = append(d.Pods, rule.PodChange{ID: local.id, Pod: &rule.Pod{
			Name:    p.Namespace + "/" + p.Name,
			Ingress: programs[rule.Ingress].number(),
			Egress:  programs[rule.Egress].number(),
		}})
	}
}

func (c *Compiler) dropPod(p *pod, local *localPod) {
	for _, direction := range directions {
		letGo(local.programs[direction])
	}
	delete(c.pods, p)
	c.podIDs.give(uint32(local.id))
}

func hold(p *program) {
	if p != nil {
		p.refs++
	}
}

func letGo(p *program) {
	if p != nil {
		p.refs--
	}
}

func (p *program) number() rule.ProgramID {
	if p == nil {
		return 0
	}
	return p.id
}

// programFor gives the program that judges a cohort's pods in a direction, nil
// when no policy isolates them. It is made when there is none like it.
func (c *Compiler) programFor(co *cohort, direction rule.Direction) *program {
	var policies []*netpol
	var buf [256]byte
	key := append(buf[:0], byte(direction))
	for _, np := range co.ns.sortedPolicies() {
		if np.policy.Isolates[direction] && np.selects(co) {
			policies = append(policies, np)
			key = binary.NativeEndian.AppendUint32(key, np.serial)
		}
	}
	if len(policies) == 0 {
		return nil
	}
	for _, np := range policies {
		for i := range np.rules[direction] {
			for _, n := range np.rules[direction][i].names {
				key = binary.NativeEndian.AppendUint16(key, port(co.ports, n.protocol, n.name))
			}
		}
	}
	if p := c.programs[string(key)]; p != nil {
		return p
	}
	p := &program{id: rule.ProgramID(c.programIDs.take()), key: string(key), direction: direction, policies: policies, ports: co.ports}
	c.programs[p.key] = p
	c.markDirty(p)
	p.eachPeer(func(used *peer) { c.use(used, p) })
	return p
}

// eachPeer calls f with every peer of the program's rules, some more than once.
func (p *program) eachPeer(f func(*peer)) {
	for _, np := range p.policies {
		for i := range np.rules[p.direction] {
			np.rules[p.direction][i].eachPeer(func(at **peer) { f(*at) })
		}
	}
}

func (c *Compiler) markDirty(p *program) {
	if !p.dirty {
		p.dirty = true
		c.dirty = append(c.dirty, p)
	}
}

// retirePrograms takes away the programs that judge no pod any more.
func (c *Compiler) retirePrograms(d *rule.Delta) {
	for key, p := range c.programs {
		if p.refs > 0 {
			continue
		}
		delete(c.programs, key)
		p.dirty = false
		p.eachPeer(func(used *peer) { c.unuse(used, p) })
		c.programIDs.give(uint32(p.id))
		d.Programs = append(d.Programs, rule.ProgramChange{ID: p.id})
	}
}

// writePrograms writes the rules of programs that are new or whose peers have
// won or lost a class.
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
	out := &rule.Program{}
	for _, np := range p.policies {
		out.IsolatedBy = append(out.IsolatedBy, np.name)
		for i := range np.rules[p.direction] {
			pr := &np.rules[p.direction][i]
			r := rule.Rule{Action: rule.ActionAccept, Policy: np.name, Index: pr.index}
			if m, ok := c.matchNumbers(pr, p.ports); ok {
				r.Matches = append(r.Matches, m)
			}
			for _, named := range pr.named {
				r.Matches = append(r.Matches, c.matchName(named)...)
			}
			if len(r.Matches) > 0 {
				out.Rules = append(out.Rules, r)
			}
		}
	}
	return out
}

// matchNumbers gives the part of a rule whose ports are known: given by number,
// or by a name that the judged pod itself has.
func (c *Compiler) matchNumbers(pr *policyRule, ports []ContainerPort) (rule.Match, bool) {
	m := rule.Match{Ports: slices.Clip(pr.ports), Any: pr.everyPeer}
	for _, n := range pr.names {
		if number := port(ports, n.protocol, n.name); number != 0 {
			m.Ports = append(m.Ports, rule.Ports{Protocol: n.protocol, First: number, Last: number})
		}
	}
	if !pr.everyPort && len(m.Ports) == 0 {
		return m, false
	}
	if m.Any {
		return m, true
	}
	m.Blocks = pr.blocks
	for _, p := range pr.peers {
		for cl := range c.peers.all[p].classes {
			m.Classes = append(m.Classes, cl.id)
		}
	}
	slices.Sort(m.Classes)
	m.Classes = slices.Compact(m.Classes)
	return m, len(m.Blocks) > 0 || len(m.Classes) > 0
}

// matchName gives one match for every number to which a port name resolves
// among the pods of a peer.
func (c *Compiler) matchName(named *peer) []rule.Match {
	byNumber := map[uint16][]rule.Class{}
	for cl, number := range c.peers.all[named].classes {
		byNumber[number] = append(byNumber[number], cl.id)
	}
	var out []rule.Match
	for number, classes := range byNumber {
		slices.Sort(classes)
		out = append(out, rule.Match{Ports: []rule.Ports{{Protocol: named.protocol, First: number, Last: number}}, Classes: classes})
	}
	slices.SortFunc(out, func(a, b rule.Match) int { return int(a.Ports[0].First) - int(b.Ports[0].First) })
	return out
}
