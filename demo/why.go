package demo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// ruling is what one isolated pod lets through in one direction and what not,
// out of the connections that were tried.
type ruling struct {
	pod        *End
	direction  rule.Direction
	isolatedBy []string
	lines      []rulingLine
}

// rulingLine is one group of connections with one reason.
type rulingLine struct {
	side  side
	ports []Port
	peers []peer
	// near are the near misses of a refusal.
	near []nearLine
}

// peer is an end by one family.
type peer struct {
	end  *End
	four bool
}

// rulings sorts the cells by isolated pod and direction, pods in the order of
// the ends, and within these by reason and port.
func rulings(cells []*Cell) []*ruling {
	var out []*ruling
	for _, c := range cells {
		for _, d := range []rule.Direction{rule.Ingress, rule.Egress} {
			s, pod, other := c.Ingress, c.To, c.From
			if d == rule.Egress {
				s, pod, other = c.Egress, c.From, c.To
			}
			if len(s.IsolatedBy) == 0 && s.Reason != rule.SameNode.String() {
				continue
			}
			i := slices.IndexFunc(out, func(r *ruling) bool { return r.pod == pod && r.direction == d })
			if i < 0 {
				i = len(out)
				out = append(out, &ruling{pod: pod, direction: d})
			}
			if len(s.IsolatedBy) > 0 {
				out[i].isolatedBy = s.IsolatedBy
			}
			out[i].add(s, c.Port, peer{other, c.Dst.Is4()})
		}
	}
	// Of a pod that no policy isolates there is nothing to tell.
	out = slices.DeleteFunc(out, func(r *ruling) bool { return len(r.isolatedBy) == 0 })
	for _, r := range out {
		r.merge()
	}
	slices.SortStableFunc(out, func(a, b *ruling) int {
		return cmp.Or(strings.Compare(a.pod.Name, b.pod.Name), cmp.Compare(b.direction, a.direction))
	})
	return out
}

func (r *ruling) add(s side, port Port, other peer) {
	i := slices.IndexFunc(r.lines, func(l rulingLine) bool { return l.side.sameRule(s) && l.ports[0] == port })
	if i < 0 {
		i = len(r.lines)
		r.lines = append(r.lines, rulingLine{side: s, ports: []Port{port}})
	}
	r.lines[i].peers = append(r.lines[i].peers, other)
	r.lines[i].addNear(s.Near, other)
}

// merge joins ports with the same reason and peers, and puts what is let
// through first.
func (r *ruling) merge() {
	var out []rulingLine
	for _, l := range r.lines {
		i := slices.IndexFunc(out, func(o rulingLine) bool { return o.side.sameRule(l.side) && slices.Equal(o.peers, l.peers) })
		if i < 0 {
			out = append(out, l)
			continue
		}
		out[i].ports = append(out[i].ports, l.ports...)
		for _, n := range l.near {
			for _, other := range n.peers {
				out[i].addNear([]miss{n.miss}, other)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b rulingLine) int { return b.side.rank() - a.side.rank() })
	r.lines = out
}

// why writes the rulings: the rule behind each refusal, and behind each
// exception from it. That the node reaches its pods is said once for all.
func (p *page) why(all []*ruling, ports []Port) {
	if len(all) == 0 {
		p.line("  No policy isolates a pod: everything is allowed.")
		return
	}
	for _, r := range all {
		where := "Into "
		if r.direction == rule.Egress {
			where = "Out of "
		}
		p.line("  %s%s  %s", where, p.paint(bold, r.pod.Name), p.paint(faint, "isolated by "+strings.Join(r.isolatedBy, ", ")))
		for _, l := range r.lines {
			if l.side.Reason != rule.SameNode.String() {
				p.ruling(r, &l, ports)
			}
		}
	}
	p.line("  A pod's own node reaches it always: that is where the kubelet's probes come from.")
}

func (p *page) ruling(r *ruling, l *rulingLine, ports []Port) {
	sign := p.paint(green, string(opens))
	if !l.side.allows() {
		sign = p.paint(red, string(refused))
	}
	word := "        from "
	if r.direction == rule.Egress {
		word = "        to "
	}
	p.line("    %s %s: %s", sign, someOf(l.ports, ports), l.side.because(r.direction))
	p.list(word, r.names(l.peers))
	p.nearMisses(r, l)
}

// someOf names ports, out of all that were tried.
func someOf(ports, all []Port) string {
	if len(ports) == len(all) && len(all) > 1 {
		return "everything"
	}
	return strings.Join(portTexts(ports), ", ")
}

// list writes items behind a word.
func (p *page) list(word string, items []string) {
	for _, line := range wrap(items, p.width-len(word)) {
		p.line("%s", p.paint(faint, word+line))
		word = strings.Repeat(" ", len(word))
	}
}

// names lists peers, by those who are missing where these are few.
func (r *ruling) names(peers []peer) []string {
	var all, missing []peer
	for _, l := range r.lines {
		for _, o := range l.peers {
			if !slices.Contains(all, o) {
				all = append(all, o)
			}
		}
	}
	for _, o := range all {
		if !slices.Contains(peers, o) {
			missing = append(missing, o)
		}
	}
	switch {
	case len(all) > 1 && len(missing) == 0:
		return []string{"everybody"}
	case len(missing) > 0 && 2*len(missing) <= len(peers):
		out := peerNames(missing, all)
		out[0] = "everybody but " + out[0]
		return out
	default:
		return peerNames(peers, all)
	}
}

// peerNames joins the families of an end, and says which one where the other is
// not there too.
func peerNames(peers, all []peer) []string {
	var out []string
	for i, o := range peers {
		other := peer{o.end, !o.four}
		switch {
		case slices.Contains(peers[:i], other):
		case slices.Contains(peers, other), !slices.Contains(all, other):
			out = append(out, o.end.Name)
		case o.four:
			out = append(out, o.end.Name+" (IPv4)")
		default:
			out = append(out, o.end.Name+" (IPv6)")
		}
	}
	return out
}

// because says the reason in words.
func (s *side) because(d rule.Direction) string {
	switch {
	case s.Rule != nil && s.allows():
		return fmt.Sprintf("allowed by %s, spec.%s[%d]", s.Policy, d, *s.Rule)
	case s.Rule != nil:
		return fmt.Sprintf("refused by %s, spec.%s[%d]", s.Policy, d, *s.Rule)
	case d == rule.Egress:
		return "no rule lets it out"
	default:
		return "no rule lets it in"
	}
}

// sameRule reports whether two sides were decided by the same thing.
func (s *side) sameRule(o side) bool {
	return s.Reason == o.Reason && s.Policy == o.Policy && (s.Rule == nil) == (o.Rule == nil) && (s.Rule == nil || *s.Rule == *o.Rule)
}

// rank orders reasons: what a rule decided, then the rest.
func (s *side) rank() int {
	if s.Rule != nil {
		return 1
	}
	return 0
}
