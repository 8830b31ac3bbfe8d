package page

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/report"
)

// nearLine is a near miss and the peers to which it applies.
type nearLine struct {
	report.NearMiss
	peers []peer
}

// addNear adds the near misses of a connection between the group's pod and a peer. Equal near
// misses for several peers share one nearLine.
func (l *groupLine) addNear(all []report.NearMiss, other peer) {
	for _, n := range all {
		i := slices.IndexFunc(l.near, func(o nearLine) bool { return equal(o.NearMiss, n) })
		if i < 0 {
			i = len(l.near)
			l.near = append(l.near, nearLine{NearMiss: n})
		}
		if !slices.Contains(l.near[i].peers, other) {
			l.near[i].peers = append(l.near[i].peers, other)
		}
	}
}

func equal(a, b report.NearMiss) bool {
	return a.Policy == b.Policy && a.Rule == b.Rule && a.Differs == b.Differs && slices.Equal(a.Ports, b.Ports)
}

// nearMisses writes the near misses of a line. For a near miss with the wrong port, it writes the
// ports that the rule allows for the same peers. For a near miss with the wrong peer, it writes
// only the rule. It omits this rule if the rule allowed another connection of the group, because
// the page then already shows the rule.
func (p *Page) nearMisses(g *group, l *groupLine) {
	for _, n := range l.near {
		where := fmt.Sprintf("%s, spec.%s[%d]", n.Policy, g.direction, n.Rule)
		switch {
		case len(n.Ports) > 0:
			p.Line("        right peer, wrong port: allowed on %s (%s)", few(n.Ports), where)
			p.list("          ", g.names(n.peers))
		case !g.usesRule(n.NearMiss):
			p.Line("        right port, wrong peer: %s allows only peers outside this demo", where)
		}
	}
}

// maxRanges is the maximum number of port ranges in the text for a near miss.
const maxRanges = 4

func few(ranges []string) string {
	if more := len(ranges) - maxRanges; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(ranges[:maxRanges], ", "), more)
	}
	return strings.Join(ranges, ", ")
}

// usesRule reports whether the rule of a near miss allowed at least one connection in the
// group.
func (g *group) usesRule(n report.NearMiss) bool {
	return slices.ContainsFunc(g.lines, func(l groupLine) bool {
		return l.side.Rule != nil && *l.side.Policy == n.Policy && *l.side.Rule == n.Rule
	})
}
