package tree

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// NearMisses returns the near misses of a denied side: first the rules that allow the same
// peer at other ports or protocols, then the rules that allow other peers at the same port.
// Each of these two groups is in the order of the rules in the program. If several rules
// allow the same traffic, NearMisses returns only the first of them. It considers the rules of the
// tier that denied the flow, and of the tiers before it.
//
// The parameter s must be a side of the decision that this tree returned for the flow: the side
// for the given direction. If no policy denied the side, the result is empty.
func (t *Tree) NearMisses(f flow.Flow, direction rule.Direction, s rule.Side) []rule.NearMiss {
	if s.Verdict != rule.Deny || s.Ref.Program == 0 {
		return nil
	}
	last := rule.NetworkPolicyTier
	if source, ok := t.Rule(s); ok {
		last = source.Tier
	}
	peer := t.find(f.Dst)
	if direction == rule.Ingress {
		peer = t.find(f.Src)
	}
	ports, peers := map[uint32][]rule.Ports{}, map[uint32][]rule.Ports{}
	for tier := rule.AdminTier; tier <= last; tier++ {
		if t.programs[s.Ref.Program:][tierPorts(tier)] != 0 {
			t.nearPorts(ports, s.Ref.Program, tier, &peer)
			t.nearPeers(peers, s.Ref.Program, tier, f)
		}
	}
	return append(t.misses(s.Ref.Program, rule.PortPart, ports), t.misses(s.Ref.Program, rule.PeerPart, peers)...)
}

// nearPorts adds the rules of a tier that allow the peer at other ports or protocols. The key is the
// number of the rule, and the value contains the ports.
func (t *Tree) nearPorts(to map[uint32][]rule.Ports, program uint32, tier rule.Tier, peer *end) {
	p := t.programs[program:]
	for slot, protocol := range [...]flow.Protocol{format.PortsTCP: flow.TCP, format.PortsUDP: flow.UDP, format.PortsSCTP: flow.SCTP} {
		table := p[p[tierPorts(tier)+slot]:]
		n := table[0]
		for i := range n {
			entry := decide(p, table[1+n+i], peer)
			if rule.Action(entry&format.ActionMask) != rule.ActionAccept {
				continue
			}
			here := rule.Ports{Protocol: uint8(protocol), First: uint16(table[1+i]), Last: 65535}
			if i+1 < n {
				here.Last = uint16(table[2+i] - 1)
			}
			to[entry>>format.ActionBits] = appendPorts(to[entry>>format.ActionBits], here)
		}
	}
}

// appendPorts appends a range to a list. If the range directly follows the last range of
// the list, appendPorts extends the last range instead.
func appendPorts(list []rule.Ports, p rule.Ports) []rule.Ports {
	if n := len(list); n > 0 && list[n-1].Protocol == p.Protocol && int(list[n-1].Last)+1 == int(p.First) {
		list[n-1].Last = p.Last
		return list
	}
	return append(list, p)
}

// nearPeers adds the rules of a tier that allow other peers at the port of the flow. The key is the
// number of the rule.
func (t *Tree) nearPeers(to map[uint32][]rule.Ports, program uint32, tier rule.Tier, f flow.Flow) {
	p := t.programs[program:]
	table, port := tableAndPort(f)
	collect := func(entries []uint32) {
		for _, entry := range entries {
			if rule.Action(entry&format.ActionMask) == rule.ActionAccept {
				to[entry>>format.ActionBits] = nil
			}
		}
	}
	for next := leafAt(p, p[tierPorts(tier)+table], port); next != 0; {
		leaf := p[next : next+format.LeafWords]
		collect(leaf[format.LeafEvery : format.LeafEvery+1])
		for i := range leaf[format.LeafDirectory+1] {
			if page := p[leaf[format.LeafDirectory]+i]; page != 0 {
				collect(p[page : page+format.PageClasses])
			}
		}
		if at, n := leaf[format.LeafIPv4], leaf[format.LeafIPv4+1]; n > 0 {
			collect(p[at+n : at+2*n])
		}
		if at, n := leaf[format.LeafIPv6], leaf[format.LeafIPv6+1]; n > 0 {
			collect(p[at+4*n : at+5*n])
		}
		next = leaf[format.LeafNext]
	}
}

// misses returns one near miss for each key of the map `ports`, in ascending order. A key is
// the number of a rule in the program. The value of the key contains the ports of the near
// miss.
func (t *Tree) misses(program uint32, differs rule.Part, ports map[uint32][]rule.Ports) []rule.NearMiss {
	rules := make([]uint32, 0, len(ports))
	for number := range ports {
		rules = append(rules, number)
	}
	slices.Sort(rules)
	misses := make([]rule.NearMiss, 0, len(rules))
	for _, number := range rules {
		misses = append(misses, rule.NearMiss{Source: t.source(program, number), Differs: differs, Ports: ports[number]})
	}
	return misses
}
