package demo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// miss is a rule that would have allowed a connection that was a little
// different: by one of Ports, or, without these, with another peer.
type miss struct {
	Policy string   `json:"policy"`
	Rule   int      `json:"rule"`
	Ports  []string `json:"ports,omitempty"`
}

func (n miss) equal(o miss) bool {
	return n.Policy == o.Policy && n.Rule == o.Rule && slices.Equal(n.Ports, o.Ports)
}

// nearOf asks the tree for the near misses of a side.
func nearOf(t *tree.Tree, f flow.Flow, d rule.Direction, s rule.Side) []miss {
	var out []miss
	for _, m := range t.NearMisses(f, d, s) {
		n := miss{Policy: m.Policy, Rule: m.Index}
		for _, p := range m.Ports {
			n.Ports = append(n.Ports, rangeText(p))
		}
		out = append(out, n)
	}
	return out
}

// rangeText writes ports as people do: "TCP 80", "UDP 8000-8080", "any SCTP".
func rangeText(p rule.Ports) string {
	protocol := flow.Protocol(p.Protocol)
	switch {
	case p.First == p.Last:
		return Port{Protocol: protocol, Number: p.First}.String()
	case p.First == 0 && p.Last == 65535:
		return "any " + protocol.String()
	default:
		return fmt.Sprintf("%s %d-%d", protocol, p.First, p.Last)
	}
}

// nearLine is a near miss of some of a line's peers.
type nearLine struct {
	miss
	peers []peer
}

// addNear remembers the near misses of a peer.
func (l *rulingLine) addNear(all []miss, other peer) {
	for _, n := range all {
		i := slices.IndexFunc(l.near, func(o nearLine) bool { return o.equal(n) })
		if i < 0 {
			i = len(l.near)
			l.near = append(l.near, nearLine{miss: n})
		}
		if !slices.Contains(l.near[i].peers, other) {
			l.near[i].peers = append(l.near[i].peers, other)
		}
	}
}

// nearMisses writes what would have been let through: the right peer by another
// port, and by the right port peers of a rule that lets none of the ends here
// through. What others have by the same port stands above it already.
func (p *page) nearMisses(r *ruling, l *rulingLine) {
	for _, n := range l.near {
		where := fmt.Sprintf("%s, spec.%s[%d]", n.Policy, r.direction, n.Rule)
		switch {
		case len(n.Ports) > 0:
			p.line("        right peer, wrong port: %s would do (%s)", few(n.Ports), where)
			p.list("          ", r.names(n.peers))
		case !r.usesRule(n.miss):
			p.line("        right port, wrong peer: %s lets others through, none of them here", where)
		}
	}
}

// mostRanges bounds the ports of a near miss.
const mostRanges = 4

func few(ranges []string) string {
	if more := len(ranges) - mostRanges; more > 0 {
		return fmt.Sprintf("%s or %d more", strings.Join(ranges[:mostRanges], ", "), more)
	}
	return strings.Join(ranges, ", ")
}

// usesRule reports whether a rule let a connection through.
func (r *ruling) usesRule(n miss) bool {
	return slices.ContainsFunc(r.lines, func(l rulingLine) bool {
		return l.side.Rule != nil && l.side.Policy == n.Policy && *l.side.Rule == n.Rule
	})
}
