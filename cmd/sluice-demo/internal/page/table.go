package page

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/lab"
)

// mark is the character in a table cell. It summarizes the connections from one end to another on
// one port, with at most one connection for each address family. It shows which of these
// connections succeed: all, only the IPv4 connection, only the IPv6 connection, or none. The mark
// `untried` means that no connection was tried.
type mark string

// These are the marks. The `legend` method describes their meanings.
const (
	untried  mark = "-"
	opens    mark = "✓"
	denied   mark = "✗"
	onlyIPv4 mark = "4"
	onlyIPv6 mark = "6"
)

func (m mark) style() string {
	switch m {
	case opens:
		return green
	case denied:
		return red
	case onlyIPv4, onlyIPv6:
		return yellow
	default:
		return faint
	}
}

// markOf returns the mark for the attempts from one end to another on one port. There is at most
// one attempt for each address family. The function `open` reports whether an attempt counts as
// successful.
func markOf(attempts []*wire.Attempt, open func(*wire.Attempt) bool) mark {
	out := untried
	for i, c := range attempts {
		m := denied
		if open(c) {
			m = opens
		}
		switch {
		case i == 0:
			out = m
		case m != out && open(c) == c.Dst.Is4():
			out = onlyIPv4
		case m != out:
			out = onlyIPv6
		}
	}
	return out
}

func byPolicies(c *wire.Attempt) bool { return c.Verdict == rule.Allow }

func byWire(c *wire.Attempt) bool { return c.Result == lab.Connected }

// table contains the attempts on one or more ports that share a table in the output.
type table struct {
	ports []topology.Port
	// The first index of attempts is the source (row), and the second index is the
	// destination (column).
	attempts [][][]*wire.Attempt
}

// tables returns the tables for the given ports. If all marks are equal for several ports,
// these ports share one table.
func tables(ends []*topology.End, ports []topology.Port, attempts []*wire.Attempt) []*table {
	place := map[*topology.End]int{}
	for i, e := range ends {
		place[e] = i
	}
	var out []*table
	for _, port := range ports {
		t := &table{ports: []topology.Port{port}, attempts: make([][][]*wire.Attempt, len(ends))}
		for i := range t.attempts {
			t.attempts[i] = make([][]*wire.Attempt, len(ends))
		}
		for _, c := range attempts {
			if c.Port == port {
				at := &t.attempts[place[c.From]][place[c.To]]
				*at = append(*at, c)
			}
		}
		if i := slices.IndexFunc(out, t.looksLike); i >= 0 {
			out[i].ports = append(out[i].ports, port)
			continue
		}
		out = append(out, t)
	}
	return out
}

func (t *table) looksLike(o *table) bool {
	for i := range t.attempts {
		for j := range t.attempts[i] {
			for _, by := range []func(*wire.Attempt) bool{byPolicies, byWire} {
				if markOf(t.attempts[i][j], by) != markOf(o.attempts[i][j], by) {
					return false
				}
			}
		}
	}
	return true
}

// key returns the label of the end with index i in a table: a to z, and then aa, ab and so
// on.
func key(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return key(i/26-1) + key(i%26)
}

// Ends lists each end with its label from the tables.
func (p *Page) Ends(ends []*topology.End) {
	keys, names := widths(ends)
	addresses, wide := make([]string, len(ends)), 0
	for i, e := range ends {
		texts := make([]string, len(e.Addresses))
		for j, a := range e.Addresses {
			texts[j] = a.String()
		}
		if addresses[i] = strings.Join(texts, " "); addresses[i] == e.Name {
			addresses[i] = "outside"
		}
		wide = max(wide, len(addresses[i]))
	}
	wide = min(wide, max(p.width/2-10, 30))
	for i, e := range ends {
		p.Line("  %s  %s  %s  %s", p.paint(faint, fit(key(i), keys)), fit(e.Name, names), fit(addresses[i], wide), p.paint(faint, e.Note))
	}
}

func widths(ends []*topology.End) (keys, names int) {
	for i, e := range ends {
		keys = max(keys, len(key(i)))
		names = max(names, utf8.RuneCountInString(e.Name))
	}
	return keys, min(names, 28)
}

// between is the width of the space between the left half and the right half of a table, in
// columns.
const between = 4

// table writes a table with two halves. The left half shows the verdicts of the policies, and
// the right half shows the results of the connections. If the table is too wide for the page,
// table writes the remaining columns below.
func (p *Page) table(t *table, ends []*topology.End) {
	keys, names := widths(ends)
	label := 2 + keys + 2 + names + 2
	columns := max(1, (p.width-label-between)/2/(keys+1))
	p.Line("\n  %s", p.paint(bold, strings.Join(topology.Texts(t.ports), ", ")))
	for first := 0; first < len(ends); first += columns {
		last := min(first+columns, len(ends))
		side := max((last-first)*(keys+1), len(policiesTitle)) + between
		p.Line("%s%s%s", strings.Repeat(" ", label), fit(policiesTitle, side), wireTitle)
		var header strings.Builder
		for j := first; j < last; j++ {
			header.WriteString(fit(key(j), keys+1))
		}
		p.Line("%s", p.paint(faint, fit("  from, to →", label)+fit(header.String(), side)+strings.TrimRight(header.String(), " ")))
		for i, from := range ends {
			left, right, note := p.row(t.attempts[i][first:last], keys)
			pad := strings.Repeat(" ", side-(last-first)*(keys+1))
			p.Line("  %s  %s  %s%s%s%s", p.paint(faint, fit(key(i), keys)), fit(from.Name, names), left, pad, right, note)
		}
	}
}

// These are the titles above the two halves of a table.
const (
	policiesTitle = "the policies"
	wireTitle     = "the connections"
)

// row returns the left half and the right half of a row. The result `note` states how many marks
// differ between the halves. The note is empty if no mark differs.
func (p *Page) row(attempts [][]*wire.Attempt, keys int) (left, right, note string) {
	var policies, results strings.Builder
	differ := 0
	for _, c := range attempts {
		want, got := markOf(c, byPolicies), markOf(c, byWire)
		style := got.style()
		if want != got {
			style = alarm
			differ++
		}
		gap := strings.Repeat(" ", keys)
		policies.WriteString(p.paint(want.style(), string(want)) + gap)
		results.WriteString(p.paint(style, string(got)) + gap)
	}
	if differ > 0 {
		note = p.paint(alarm, fmt.Sprintf("%d differ!", differ))
	}
	return policies.String(), results.String(), note
}

// legend explains the marks in the tables.
func (p *Page) legend() {
	p.Line("\n  %s connects   %s does not connect   %s only over IPv4   %s only over IPv6   %s not tried",
		p.paint(green, string(opens)), p.paint(red, string(denied)), p.paint(yellow, string(onlyIPv4)), p.paint(yellow, string(onlyIPv6)), p.paint(faint, string(untried)))
}
