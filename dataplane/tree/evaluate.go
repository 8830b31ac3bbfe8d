package tree

import (
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

var (
	_ rule.Evaluator = (*Tree)(nil)
	_ rule.Namer     = (*Tree)(nil)
)

// end is one end of a flow: its address, and the data about this address in the tree.
type end struct {
	address format.Address
	is4     bool
	kind    uint32
	class   uint32
	// endpoint is the record of the address if the address belongs to a local pod. Otherwise
	// endpoint is nil.
	endpoint []uint32
}

// Evaluate implements rule.Evaluator. If the address on one side of the flow does not belong to a
// pod of this node, this side has the verdict Allow and the reason Elsewhere.
func (t *Tree) Evaluate(f flow.Flow) rule.Decision {
	src, dst := t.find(f.Src), t.find(f.Dst)
	elsewhere := rule.Side{Verdict: rule.Allow, Reason: rule.Elsewhere}
	d := rule.Decision{Egress: elsewhere, Ingress: elsewhere}
	table, port := tableAndPort(f)
	if src.endpoint != nil {
		if dst.endpoint != nil && src.endpoint[format.EndpointPod] == dst.endpoint[format.EndpointPod] {
			return rule.Decision{
				Egress:  t.evaluateSelf(src.programs(rule.Egress), table, port, &dst),
				Ingress: t.evaluateSelf(dst.programs(rule.Ingress), table, port, &src),
			}
		}
		d.Egress = t.evaluate(src.programs(rule.Egress), table, port, &dst)
	}
	if dst.endpoint != nil {
		if src.kind == format.OwnerThisNode {
			d.Ingress = rule.Side{Verdict: rule.Allow, Reason: rule.SameNode}
		} else {
			d.Ingress = t.evaluate(dst.programs(rule.Ingress), table, port, &src)
		}
	}
	return d
}

// programs returns the offsets of a local pod's programs for a direction, in the order of the tiers.
// An offset is 0 if no policy of the tier applies.
func (e *end) programs(d rule.Direction) []uint32 {
	first := format.EndpointPrograms + int(d)*format.Tiers
	return e.endpoint[first : first+format.Tiers : first+format.Tiers]
}

// tableAndPort returns the index of the port table for a flow, and the port to look up in this
// table.
func tableAndPort(f flow.Flow) (table int, port uint32) {
	if table = format.PortTable(f.Protocol); table == format.PortsOther {
		return table, 0
	}
	return table, uint32(f.DstPort)
}

// find returns the data that the tree contains about an address.
func (t *Tree) find(a netip.Addr) end {
	e := end{address: format.AddressOf(a), is4: a.Is4()}
	var value uint32
	if e.is4 {
		value = find4(t.ipv4, t.shift4, uint32(e.address.Lo))
	} else {
		value = find6(t.ipv6, t.shift6, e.address)
	}
	e.kind = value & format.OwnerMask
	switch e.kind {
	case format.OwnerRemote:
		e.class = value >> format.OwnerBits
	case format.OwnerLocal:
		at := int(value>>format.OwnerBits) * format.EndpointWords
		e.endpoint = t.endpoints[at : at+format.EndpointWords : at+format.EndpointWords]
		e.class = e.endpoint[format.EndpointClass] >> format.OwnerBits
	}
	return e
}

// evaluate evaluates one side of a flow with the programs of a pod. The `table` parameter is the
// index of the port table. The `peer` parameter is the other end of the flow.
func (t *Tree) evaluate(programs []uint32, table int, port uint32, peer *end) rule.Side {
	side := rule.Side{Verdict: rule.Allow, Reason: rule.NotIsolated}
	if t.decideTier(programs, rule.AdminTier, table, port, peer, &side) {
		return side
	}
	if program := programs[rule.NetworkPolicyTier]; program != 0 {
		side.Verdict, side.Reason, side.Ref.Program = rule.Deny, rule.NoRuleMatched, program
		if entry := t.lookup(program, table, port, peer); entry != 0 {
			setMatched(&side, program, entry)
		}
		return side
	}
	t.decideTier(programs, rule.BaselineTier, table, port, peer, &side)
	return side
}

// evaluateSelf evaluates one side of a flow from a pod to itself. Such a flow leaves the pod only
// if it goes through a Service. NetworkPolicies do not apply to it.
func (t *Tree) evaluateSelf(programs []uint32, table int, port uint32, peer *end) rule.Side {
	side := rule.Side{Verdict: rule.Allow, Reason: rule.SamePod}
	if !t.decideTier(programs, rule.AdminTier, table, port, peer, &side) {
		t.decideTier(programs, rule.BaselineTier, table, port, peer, &side)
	}
	return side
}

// decideTier evaluates the Admin or the Baseline tier. If a rule of the tier allows or denies the
// flow, decideTier records the verdict and the rule in `side`, and returns true. If a rule passes
// the flow to the next tier, decideTier records this rule in `side`, and returns false.
func (t *Tree) decideTier(programs []uint32, tier rule.Tier, table int, port uint32, peer *end, side *rule.Side) bool {
	program := programs[tier]
	if program == 0 {
		return false
	}
	entry := t.lookup(program, table, port, peer)
	switch {
	case entry == 0:
		return false
	case rule.Action(entry&format.ActionMask) != rule.ActionPass:
		setMatched(side, program, entry)
		return true
	case tier == rule.AdminTier:
		side.Passed = t.ruleAt(program, entry>>format.ActionBits)
	default:
		side.Ref = rule.Ref{Program: program, Rule: entry >> format.ActionBits}
	}
	return false
}

// lookup returns the entry of the first rule in a program that matches, or 0 if no rule matches.
func (t *Tree) lookup(program uint32, table int, port uint32, peer *end) uint32 {
	p := t.programs[program:]
	return decide(p, leafAt(p, p[format.ProgramPorts+table], port), peer)
}

// setMatched records in `side` that a rule decided the side. It stores the verdict, the reason and
// the rule. The `entry` parameter is the entry of the rule.
func setMatched(side *rule.Side, program, entry uint32) {
	side.Verdict, side.Reason = rule.Deny, rule.Matched
	side.Ref = rule.Ref{Program: program, Rule: entry >> format.ActionBits}
	if rule.Action(entry&format.ActionMask) == rule.ActionAccept {
		side.Verdict = rule.Allow
	}
}

// leafAt returns the offset of the leaf for a port. The `p` parameter is the program, and the
// `offset` parameter is the offset of the port table in the program.
func leafAt(p []uint32, offset, port uint32) uint32 {
	n := p[offset]
	table := p[offset+1 : offset+1+2*n]
	// Invariant: table[low] <= port < table[high].
	low, high := uint32(0), n
	for high-low > 1 {
		if middle := (low + high) / 2; table[middle] <= port {
			low = middle
		} else {
			high = middle
		}
	}
	return table[n+low]
}

// decide returns the entry of the first rule in program p that matches a peer, or 0 if no rule
// matches. It searches the leaf at the given offset, and then each leaf that follows it through
// LeafNext.
func decide(p []uint32, leaf uint32, peer *end) uint32 {
	l := p[leaf : leaf+format.LeafWords]
	// decideAt subtracts 1 from each entry. Entry 0, which means that no rule matches, becomes the
	// largest uint32. So the minimum is the entry of the earliest rule that matches.
	best := decideAt(p, l, peer)
	for l[format.LeafNext] != 0 {
		l = p[l[format.LeafNext] : l[format.LeafNext]+format.LeafWords]
		best = min(best, decideAt(p, l, peer))
	}
	return best + 1
}

// decideAt returns the entry, minus 1, of the first rule in leaf l that matches a peer. If no rule
// in the leaf matches, it returns the largest uint32. The `p` parameter is the program.
func decideAt(p, l []uint32, peer *end) uint32 {
	best := l[format.LeafEvery] - 1
	if page := peer.class >> format.PageBits; page < l[format.LeafDirectory+1] {
		if at := p[l[format.LeafDirectory]+page]; at != 0 {
			best = min(best, p[at+peer.class%format.PageClasses]-1)
		}
	}
	if peer.is4 {
		if n := l[format.LeafIPv4+1]; n != 0 {
			best = min(best, interval4(p[l[format.LeafIPv4]:], n, uint32(peer.address.Lo))-1)
		}
	} else if n := l[format.LeafIPv6+1]; n != 0 {
		best = min(best, interval6(p[l[format.LeafIPv6]:], n, peer.address)-1)
	}
	return best
}

// interval4 searches n intervals for the last one that starts at or before address a, and returns
// the entry of this interval. If every interval starts after a, interval4 returns 0.
func interval4(p []uint32, n, a uint32) uint32 {
	low, high := uint32(0), n
	for low < high {
		if middle := (low + high) / 2; p[middle] <= a {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == 0 {
		return 0
	}
	return p[n+low-1]
}

// interval6 is like interval4, but for IPv6. The start of each interval has four words.
func interval6(p []uint32, n uint32, a format.Address) uint32 {
	low, high := uint32(0), n
	for low < high {
		if middle := (low + high) / 2; format.AddressFrom(p[4*middle:]).Compare(a) <= 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == 0 {
		return 0
	}
	return p[4*n+low-1]
}
