package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// group contains the attempts to or from one pod to which policies apply.
type group struct {
	pod        *topology.End
	direction  rule.Direction
	isolatedBy []string
	lines      []groupLine
}

// groupLine contains the attempts in a group that have the same reason.
type groupLine struct {
	side  report.Side
	ports []topology.Port
	peers []peer
	near  []nearLine
}

// peer is the other end of an attempt to or from the group's pod, and the address family of
// the attempt.
type peer struct {
	end  *topology.End
	ipv4 bool
}

// groups sorts the attempts into groups by pod and direction. It omits groups to which no policy
// applies. Within a group, each line contains the attempts with the same reason.
func groups(attempts []*wire.Attempt) []*group {
	var out []*group
	for _, c := range attempts {
		for _, d := range []rule.Direction{rule.Ingress, rule.Egress} {
			s, pod, other := c.Ingress, c.To, c.From
			if d == rule.Egress {
				s, pod, other = c.Egress, c.From, c.To
			}
			if pod.Kind != topology.KindPod {
				continue
			}
			i := slices.IndexFunc(out, func(g *group) bool { return g.pod == pod && g.direction == d })
			if i < 0 {
				i = len(out)
				out = append(out, &group{pod: pod, direction: d})
			}
			if len(s.IsolatedBy) > 0 {
				out[i].isolatedBy = s.IsolatedBy
			}
			out[i].add(s, c.Port, peer{other, c.Dst.Is4()})
		}
	}
	out = slices.DeleteFunc(out, func(g *group) bool { return len(g.isolatedBy) == 0 && !slices.ContainsFunc(g.lines, groupLine.inTier) })
	for _, g := range out {
		g.merge()
	}
	slices.SortStableFunc(out, func(a, b *group) int {
		return cmp.Or(strings.Compare(a.pod.Name, b.pod.Name), cmp.Compare(b.direction, a.direction))
	})
	return out
}

// inTier reports whether a rule of a ClusterNetworkPolicy matched the attempts.
func (l groupLine) inTier() bool { return l.side.Tier != "" || len(l.side.Passed) > 0 }

func (g *group) add(s report.Side, port topology.Port, other peer) {
	i := slices.IndexFunc(g.lines, func(l groupLine) bool { return wire.SameRule(&l.side, &s) && l.ports[0] == port })
	if i < 0 {
		i = len(g.lines)
		g.lines = append(g.lines, groupLine{side: s, ports: []topology.Port{port}})
	}
	g.lines[i].peers = append(g.lines[i].peers, other)
	g.lines[i].addNear(s.NearMisses, other)
}

// merge joins the lines that have the same reason and the same peers. It sorts the lines so
// that lines with a deciding rule come first.
func (g *group) merge() {
	var out []groupLine
	for _, l := range g.lines {
		i := slices.IndexFunc(out, func(o groupLine) bool { return wire.SameRule(&o.side, &l.side) && slices.Equal(o.peers, l.peers) })
		if i < 0 {
			out = append(out, l)
			continue
		}
		out[i].ports = append(out[i].ports, l.ports...)
		for _, n := range l.near {
			for _, other := range n.peers {
				out[i].addNear([]report.NearMiss{n.NearMiss}, other)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b groupLine) int { return rank(&b.side) - rank(&a.side) })
	g.lines = out
}

// Reasons writes the reasons for the results. For each pod to which policies apply, it writes the
// rules that decided about connections, and the connections that were denied because no rule
// allowed them. Connections from a pod's own node are always allowed. For these connections,
// Reasons writes only one line for all pods.
func (p *Page) Reasons(attempts []*wire.Attempt, ports []topology.Port) {
	all := groups(attempts)
	if len(all) == 0 {
		p.Line("  No policy applies to a pod: everything is allowed.")
		return
	}
	for _, g := range all {
		where := "Into "
		if g.direction == rule.Egress {
			where = "Out of "
		}
		isolated := "not isolated"
		if len(g.isolatedBy) > 0 {
			isolated = "isolated by " + strings.Join(g.isolatedBy, ", ")
		}
		p.Line("  %s%s  %s", where, p.paint(bold, g.pod.Name), p.paint(faint, isolated))
		for _, l := range g.lines {
			if l.side.Reason != rule.SameNode.String() {
				p.groupLine(g, &l, ports)
			}
		}
	}
	p.Line("  A pod's own node can always connect to the pod, because the kubelet's probes come from there.")
}

func (p *Page) groupLine(g *group, l *groupLine, ports []topology.Port) {
	sign := p.paint(green, string(opens))
	if !wire.Allows(&l.side) {
		sign = p.paint(red, string(denied))
	}
	word := "        from "
	if g.direction == rule.Egress {
		word = "        to "
	}
	p.Line("    %s %s: %s", sign, someOf(l.ports, ports), reasonText(&l.side, g.direction))
	for _, passed := range l.side.Passed {
		p.Line("        %s", p.paint(faint, fmt.Sprintf("passed to the next tier by %s, spec.%s[%d] (%s tier)", passed.Policy, g.direction, passed.Rule, passed.Tier)))
	}
	p.list(word, g.names(l.peers))
	p.nearMisses(g, l)
}

// someOf returns the names of ports. If the list contains all ports that were tried, someOf
// returns "everything".
func someOf(ports, all []topology.Port) string {
	if len(ports) == len(all) && len(all) > 1 {
		return "everything"
	}
	return strings.Join(topology.Texts(ports), ", ")
}

// list writes items in one or more lines. The first line begins with the text in the `word`
// parameter, and the other lines are indented by the same width.
func (p *Page) list(word string, items []string) {
	for _, line := range wrap(items, p.width-len(word)) {
		p.Line("%s", p.paint(faint, word+line))
		word = strings.Repeat(" ", len(word))
	}
}

// names returns the names of peers as a list. If the peers are all peers of the group, it
// returns "all ends". If only a few peers of the group are missing, it returns "all ends
// except" and the names of the missing peers.
func (g *group) names(peers []peer) []string {
	var all, missing []peer
	for _, l := range g.lines {
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
		return []string{"all ends"}
	case len(missing) > 0 && 2*len(missing) <= len(peers):
		out := peerNames(missing, all)
		out[0] = "all ends except " + out[0]
		return out
	default:
		return peerNames(peers, all)
	}
}

// peerNames returns the names of the ends in `peers`, each name only once. The `all` parameter
// contains all peers of the group. If `all` contains an end with IPv4 and with IPv6, but `peers`
// contains this end with only one of them, peerNames appends this address family to the name.
func peerNames(peers, all []peer) []string {
	var out []string
	for i, o := range peers {
		other := peer{o.end, !o.ipv4}
		switch {
		case slices.Contains(peers[:i], other):
		case slices.Contains(peers, other), !slices.Contains(all, other):
			out = append(out, o.end.Name)
		case o.ipv4:
			out = append(out, o.end.Name+" (IPv4)")
		default:
			out = append(out, o.end.Name+" (IPv6)")
		}
	}
	return out
}

// reasonText describes the reason for the verdict of a side.
func reasonText(s *report.Side, d rule.Direction) string {
	if s.Rule == nil {
		if wire.Allows(s) {
			return "no policy denies it"
		}
		return "no rule allows it"
	}
	verb, tier := "denied", ""
	if wire.Allows(s) {
		verb = "allowed"
	}
	if s.Tier != "" {
		tier = " (" + s.Tier + " tier)"
	}
	return fmt.Sprintf("%s by %s, spec.%s[%d]%s", verb, *s.Policy, d, *s.Rule, tier)
}

// rank returns the sort key of a line. The rank is highest for lines with a deciding rule.
func rank(s *report.Side) int {
	if s.Rule != nil {
		return 1
	}
	return 0
}
