package tree

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// NearMisses returns the near misses of a denied side. The rules that allow the same peer on other
// ports or with other protocols come first. The rules that allow other peers on the same port
// follow. Each of these two groups is in the order of the rules in the program. If several rules
// allow the same traffic, NearMisses returns only the first of them. It considers the rules of the
// tier that denied the flow, and of the tiers before it.
//
// The `s` parameter is the side for the given direction, from the decision that this tree returned
// for the flow. If no policy denied the side, the result is empty.
func (t *Tree) NearMisses(f flow.Flow, direction rule.Direction, s rule.Side) []rule.NearMiss {
	if s.Verdict != rule.Deny || s.Ref.Program == 0 {
		return nil
	}
	last := rule.Tier(t.programs[s.Ref.Program+format.ProgramTier])
	pod, peer := t.find(f.Src), t.find(f.Dst)
	if direction == rule.Ingress {
		pod, peer = peer, pod
	}
	if pod.endpoint == nil {
		return nil
	}
	var byPort, byPeer []rule.NearMiss
	for _, program := range pod.programs(direction)[:last+1] {
		if program != 0 {
			byPort = append(byPort, t.nearPorts(program, &peer)...)
			byPeer = append(byPeer, t.nearPeers(program, f)...)
		}
	}
	return append(byPort, byPeer...)
}

// nearPorts returns the rules of a program that allow the peer on other ports or with other
// protocols.
func (t *Tree) nearPorts(program uint32, peer *end) []rule.NearMiss {
	p := t.programs[program:]
	ports := map[uint32][]rule.Ports{}
	for slot, protocol := range [...]flow.Protocol{format.PortsTCP: flow.TCP, format.PortsUDP: flow.UDP, format.PortsSCTP: flow.SCTP} {
		table := p[p[format.ProgramPorts+slot]:]
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
			ports[entry>>format.ActionBits] = appendPorts(ports[entry>>format.ActionBits], here)
		}
	}
	return t.nearMissesOf(program, rule.PortPart, ports)
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

// nearPeers returns the rules of a program that allow other peers on the port of the flow.
func (t *Tree) nearPeers(program uint32, f flow.Flow) []rule.NearMiss {
	p := t.programs[program:]
	table, port := tableAndPort(f)
	found := map[uint32][]rule.Ports{}
	collect := func(entries []uint32) {
		for _, entry := range entries {
			if rule.Action(entry&format.ActionMask) == rule.ActionAccept {
				found[entry>>format.ActionBits] = nil
			}
		}
	}
	for next := leafAt(p, p[format.ProgramPorts+table], port); next != 0; {
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
	return t.nearMissesOf(program, rule.PeerPart, found)
}

// nearMissesOf returns one near miss for each key of the map `ports`, in ascending order. A key is
// the number of a rule in the program. The value of the key contains the ports of the near miss.
func (t *Tree) nearMissesOf(program uint32, differs rule.Part, ports map[uint32][]rule.Ports) []rule.NearMiss {
	rules := make([]uint32, 0, len(ports))
	for number := range ports {
		rules = append(rules, number)
	}
	slices.Sort(rules)
	misses := make([]rule.NearMiss, 0, len(rules))
	for _, number := range rules {
		misses = append(misses, rule.NearMiss{Source: t.sourceIn(program, number), Differs: differs, Ports: ports[number]})
	}
	return misses
}
