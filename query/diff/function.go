package diff

import (
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// protocols contains one protocol for each port table of a tree. The last one stands for all
// protocols without ports.
var protocols = [...]flow.Protocol{flow.TCP, flow.UDP, flow.SCTP, flow.ICMP}

// function contains the decisions of one side of the flows between a subject and a peer, as a
// function of the protocol and the destination port.
type function struct {
	spans [len(protocols)][]span
	// same is true if no verdict differs before and after the change.
	same bool
}

// span is an interval of destination ports with the same decisions. It begins at the port `first`
// and ends before the next span.
type span struct {
	first         uint32
	before, after rule.Side
}

// allowed is the function of an end to which no policy applies.
var allowed = func() *function {
	f := &function{same: true}
	side := rule.Side{Verdict: rule.Allow, Reason: rule.External}
	for i := range f.spans {
		f.spans[i] = []span{{before: side, after: side}}
	}
	return f
}()

// subject identifies pods with the same programs for one direction, before and after the change.
type subject struct {
	direction     rule.Direction
	before, after [rule.Tiers]rule.ProgramID
}

// peer identifies addresses that all rules treat in the same way, before and after the change.
type peer struct {
	before, after rule.Class
	// segment is the number of an interval of addresses. No block of any rule begins or ends inside
	// the interval.
	segment int
}

// functionKey identifies a function by the numbers of its subject and its peer.
type functionKey struct{ subject, peer int }

// function returns the function of a subject and a peer. The addresses `own` and `other` belong to
// the subject and the peer.
func (c *comparison) function(key functionKey, own, other netip.Addr) *function {
	if f := c.functions[key]; f != nil {
		return f
	}
	f := c.evaluate(key.subject, own, other)
	c.functions[key] = f
	return f
}

// evaluate evaluates one flow for each interval of ports.
func (c *comparison) evaluate(subject int, own, other netip.Addr) *function {
	f := &function{same: true}
	s := c.subjects.at(subject)
	flowTo := flow.Flow{Src: own, Dst: other}
	if s.direction == rule.Ingress {
		flowTo = flowTo.Reverse()
	}
	ports := c.portsOf(subject)
	for table, protocol := range protocols {
		flowTo.Protocol = protocol
		for _, first := range ports[table] {
			flowTo.DstPort = uint16(first)
			next := span{first, c.before.tree.Evaluate(flowTo).Side(s.direction), c.after.tree.Evaluate(flowTo).Side(s.direction)}
			f.same = f.same && next.before.Verdict == next.after.Verdict
			if last := len(f.spans[table]) - 1; last >= 0 && f.spans[table][last].before == next.before && f.spans[table][last].after == next.after {
				continue
			}
			f.spans[table] = append(f.spans[table], next)
		}
	}
	return f
}

// portsOf returns, for each protocol, the first ports of the intervals that the programs of a subject
// distinguish.
func (c *comparison) portsOf(subject int) *[len(protocols)][]uint32 {
	if out := c.ports[subject]; out != nil {
		return out
	}
	out := &[len(protocols)][]uint32{{0}, {0}, {0}, {0}}
	c.eachMatch(subject, func(m *rule.Match) {
		for _, p := range m.Ports {
			table := slices.Index(protocols[:], flow.Protocol(p.Protocol))
			out[table] = append(out[table], uint32(p.First))
			if p.Last < 65535 {
				out[table] = append(out[table], uint32(p.Last)+1)
			}
		}
	})
	for i := range out {
		slices.Sort(out[i])
		out[i] = slices.Compact(out[i])
	}
	c.ports[subject] = out
	return out
}

// eachMatch calls a function with every match in the programs of a subject.
func (c *comparison) eachMatch(subject int, f func(*rule.Match)) {
	s := c.subjects.at(subject)
	for tier := range s.before {
		eachMatch(c.before.programs[s.before[tier]], f)
		eachMatch(c.after.programs[s.after[tier]], f)
	}
}

func eachMatch(p *rule.Program, f func(*rule.Match)) {
	if p == nil {
		return
	}
	for i := range p.Rules {
		for j := range p.Rules[i].Matches {
			f(&p.Rules[i].Matches[j])
		}
	}
}

// numbers assigns numbers to values, starting at 0.
type numbers[T comparable] struct {
	of     map[T]int
	values []T
}

func (n *numbers[T]) number(value T) int {
	if i, ok := n.of[value]; ok {
		return i
	}
	if n.of == nil {
		n.of = map[T]int{}
	}
	n.of[value] = len(n.values)
	n.values = append(n.values, value)
	return len(n.values) - 1
}

func (n *numbers[T]) at(i int) *T { return &n.values[i] }
