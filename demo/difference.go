package demo

import (
	"slices"
)

// difference is one pair of ends whose mark is another now, and by which ports.
type difference struct {
	from, to *End
	ports    []Port
	was, is  mark
}

// differences compares what the wire showed before and after. Both are the
// cells of one grid.
func differences(before, after []*Cell) []difference {
	type pair struct {
		from, to *End
		port     Port
	}
	group := func(cells []*Cell) (map[pair][]*Cell, []pair) {
		groups, order := map[pair][]*Cell{}, []pair{}
		for _, c := range cells {
			k := pair{c.From, c.To, c.Port}
			if groups[k] == nil {
				order = append(order, k)
			}
			groups[k] = append(groups[k], c)
		}
		return groups, order
	}
	was, order := group(before)
	is, _ := group(after)
	var out []difference
	for _, k := range order {
		a, b := markOf(was[k], byWire), markOf(is[k], byWire)
		if a == b {
			continue
		}
		i := slices.IndexFunc(out, func(d difference) bool { return d.from == k.from && d.to == k.to && d.was == a && d.is == b })
		if i < 0 {
			i = len(out)
			out = append(out, difference{from: k.from, to: k.to, was: a, is: b})
		}
		out[i].ports = append(out[i].ports, k.port)
	}
	return out
}

// alike reports whether two differences say the same of their ports.
func (d *difference) alike(o *difference) bool {
	return d.was == o.was && d.is == o.is && slices.Equal(d.ports, o.ports)
}

// story is differences that are alike and have one end in common.
type story struct {
	difference
	// into: the common end is the one that connections are opened to.
	into   bool
	others []*End
}

// stories tells each difference with those of its target or those of its
// source, whichever are more.
func stories(all []difference) []*story {
	var out []*story
	for i := range all {
		d := &all[i]
		into, outOf := 0, 0
		for j := range all {
			if o := &all[j]; d.alike(o) {
				into += bit(o.to == d.to, 1)
				outOf += bit(o.from == d.from, 1)
			}
		}
		s := &story{difference: *d, into: into >= outOf}
		other := d.from
		if !s.into {
			other = d.to
		}
		same := func(o *story) bool {
			return o.into == s.into && o.alike(d) && (s.into && o.to == d.to || !s.into && o.from == d.from)
		}
		if k := slices.IndexFunc(out, same); k >= 0 {
			s = out[k]
		} else {
			out = append(out, s)
		}
		s.others = append(s.others, other)
	}
	return out
}

// differences writes them; ports are all that were tried.
func (p *page) differences(all []difference, ports []Port) {
	if len(all) == 0 {
		p.line("    nothing changes on the wire")
		return
	}
	for _, s := range stories(all) {
		word, end, others := "into", s.to, "             from "
		if !s.into {
			word, end, others = "out of", s.from, "             to "
		}
		p.line("    %s now %s  %s %s, %s", p.paint(s.was.style(), string(s.was)), p.paint(s.is.style(), string(s.is)),
			word, p.paint(bold, end.Name), someOf(s.ports, ports))
		p.list(others, endNames(s.others))
	}
}
