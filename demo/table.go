package demo

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/lab"
)

// mark stands for the connections from one end to another by one port: one of
// each family.
type mark string

// The marks.
const (
	untried mark = "-"
	opens   mark = "✓"
	refused mark = "✗"
	only4   mark = "4"
	only6   mark = "6"
)

func (m mark) style() string {
	switch m {
	case opens:
		return green
	case refused:
		return red
	case only4, only6:
		return yellow
	default:
		return faint
	}
}

// markOf joins what the families say.
func markOf(cells []*Cell, open func(*Cell) bool) mark {
	out := untried
	for i, c := range cells {
		m := refused
		if open(c) {
			m = opens
		}
		switch {
		case i == 0:
			out = m
		case m != out && open(c) == c.Dst.Is4():
			out = only4
		case m != out:
			out = only6
		}
	}
	return out
}

func byPolicies(c *Cell) bool { return c.Policies == rule.Allow }

func byWire(c *Cell) bool { return c.Wire == lab.Connected }

// table is who reaches whom by one port.
type table struct {
	ports []Port
	// cells by row and column.
	cells [][][]*Cell
}

// tables sorts the cells by port. Ports that look the same share a table.
func tables(ends []*End, ports []Port, cells []*Cell) []*table {
	place := map[*End]int{}
	for i, e := range ends {
		place[e] = i
	}
	var out []*table
	for _, port := range ports {
		t := &table{ports: []Port{port}, cells: make([][][]*Cell, len(ends))}
		for i := range t.cells {
			t.cells[i] = make([][]*Cell, len(ends))
		}
		for _, c := range cells {
			if c.Port == port {
				at := &t.cells[place[c.From]][place[c.To]]
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
	for i := range t.cells {
		for j := range t.cells[i] {
			for _, by := range []func(*Cell) bool{byPolicies, byWire} {
				if markOf(t.cells[i][j], by) != markOf(o.cells[i][j], by) {
					return false
				}
			}
		}
	}
	return true
}

// key is the letter of an end: a to z, then aa, ab and so on.
func key(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return key(i/26-1) + key(i%26)
}

// who lists the ends by letter.
func (p *page) who(ends []*End) {
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
		p.line("  %s  %s  %s  %s", p.paint(faint, fit(key(i), keys)), fit(e.Name, names), fit(addresses[i], wide), p.paint(faint, e.Note))
	}
}

func widths(ends []*End) (keys, names int) {
	for i, e := range ends {
		keys = max(keys, len(key(i)))
		names = max(names, utf8.RuneCountInString(e.Name))
	}
	return keys, min(names, 28)
}

// between is the space between the two sides of a table.
const between = 4

// show writes the table: what the policies say on the left, what the wire shows
// on the right. Where that is too wide, columns go on below.
func (p *page) show(t *table, ends []*End) {
	keys, names := widths(ends)
	label := 2 + keys + 2 + names + 2
	columns := max(1, (p.width-label-between)/2/(keys+1))
	p.line("\n  %s", p.paint(bold, strings.Join(portTexts(t.ports), ", ")))
	for first := 0; first < len(ends); first += columns {
		last := min(first+columns, len(ends))
		side := max((last-first)*(keys+1), len(saidTitle)) + between
		p.line("%s%s%s", strings.Repeat(" ", label), fit(saidTitle, side), seenTitle)
		var header strings.Builder
		for j := first; j < last; j++ {
			header.WriteString(fit(key(j), keys+1))
		}
		p.line("%s", p.paint(faint, fit("  from, to →", label)+fit(header.String(), side)+strings.TrimRight(header.String(), " ")))
		for i, from := range ends {
			said, seen, wrong := p.row(t.cells[i][first:last], keys)
			pad := strings.Repeat(" ", side-(last-first)*(keys+1))
			p.line("  %s  %s  %s%s%s%s", p.paint(faint, fit(key(i), keys)), fit(from.Name, names), said, pad, seen, wrong)
		}
	}
}

// The titles of the two sides.
const (
	saidTitle = "policies say"
	seenTitle = "the wire shows"
)

func portTexts(ports []Port) []string {
	texts := make([]string, len(ports))
	for i, p := range ports {
		texts[i] = p.String()
	}
	return texts
}

func (p *page) row(cells [][]*Cell, keys int) (said, seen, wrong string) {
	var left, right strings.Builder
	differ := 0
	for _, c := range cells {
		policies, wire := markOf(c, byPolicies), markOf(c, byWire)
		style := wire.style()
		if policies != wire {
			style = alarm
			differ++
		}
		gap := strings.Repeat(" ", keys)
		left.WriteString(p.paint(policies.style(), string(policies)) + gap)
		right.WriteString(p.paint(style, string(wire)) + gap)
	}
	if differ > 0 {
		wrong = p.paint(alarm, fmt.Sprintf("%d differ!", differ))
	}
	return left.String(), right.String(), wrong
}

// legend explains the marks that the tables use.
func (p *page) legend() {
	p.line("\n  %s connects   %s does not   %s %s only IPv4, only IPv6   %s no policy could decide it",
		p.paint(green, string(opens)), p.paint(red, string(refused)), p.paint(yellow, string(only4)), p.paint(yellow, string(only6)), p.paint(faint, string(untried)))
}
