package page

import (
	"slices"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
)

// difference is a change of the mark for connections from one end to another. ports
// are the ports for which the mark changed from was to is.
type difference struct {
	from, to *topology.End
	ports    []topology.Port
	was, is  mark
}

// differences returns each change of a mark between the results before and after a
// change of the policies. before and after must contain the same connections.
func differences(before, after []*wire.Attempt) []difference {
	type pair struct {
		from, to *topology.End
		port     topology.Port
	}
	group := func(attempts []*wire.Attempt) (map[pair][]*wire.Attempt, []pair) {
		groups, order := map[pair][]*wire.Attempt{}, []pair{}
		for _, c := range attempts {
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

// alike reports whether two differences have the same old mark, new mark and ports.
func (d *difference) alike(o *difference) bool {
	return d.was == o.was && d.is == o.is && slices.Equal(d.ports, o.ports)
}

// summary is a group of differences that are alike and have the same source or the
// same destination.
type summary struct {
	difference
	// into reports whether the differences have the same destination. Otherwise
	// they have the same source.
	into   bool
	others []*topology.End
}

// summarize groups alike differences. Each difference joins the differences with
// the same destination, or the differences with the same source if there are more
// of these.
func summarize(all []difference) []*summary {
	var out []*summary
	for i := range all {
		d := &all[i]
		into, outOf := 0, 0
		for j := range all {
			if o := &all[j]; d.alike(o) {
				if o.to == d.to {
					into++
				}
				if o.from == d.from {
					outOf++
				}
			}
		}
		s := &summary{difference: *d, into: into >= outOf}
		other := d.from
		if !s.into {
			other = d.to
		}
		same := func(o *summary) bool {
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

// Differences writes how the results changed between two rounds. before and after
// are the attempts of the two rounds, for the same connections. ports are all ports
// that were tried.
func (p *Page) Differences(before, after []*wire.Attempt, ports []topology.Port) {
	all := differences(before, after)
	if len(all) == 0 {
		p.Line("    nothing changes on the wire")
		return
	}
	for _, s := range summarize(all) {
		word, end, others := "into", s.to, "             from "
		if !s.into {
			word, end, others = "out of", s.from, "             to "
		}
		p.Line("    %s now %s  %s %s, %s", p.paint(s.was.style(), string(s.was)), p.paint(s.is.style(), string(s.is)),
			word, p.paint(bold, end.Name), someOf(s.ports, ports))
		p.list(others, endNames(s.others))
	}
}

func endNames(ends []*topology.End) []string {
	out := make([]string, len(ends))
	for i, e := range ends {
		out[i] = e.Name
	}
	return out
}
