package page

import (
	"slices"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
)

// difference describes how the mark of the connections from one end to another changed. The mark
// was `before` under the old policies and is `after` under the new policies. The `ports` field
// contains the ports with this change.
type difference struct {
	from, to *topology.End
	ports    []topology.Port
	before   mark
	after    mark
}

// differences compares the results before and after a change of the policies, and returns each mark
// that changed. The parameters `before` and `after` must contain the same connections.
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
	old, order := group(before)
	current, _ := group(after)
	var out []difference
	for _, k := range order {
		a, b := markOf(old[k], byWire), markOf(current[k], byWire)
		if a == b {
			continue
		}
		i := slices.IndexFunc(out, func(d difference) bool { return d.from == k.from && d.to == k.to && d.before == a && d.after == b })
		if i < 0 {
			i = len(out)
			out = append(out, difference{from: k.from, to: k.to, before: a, after: b})
		}
		out[i].ports = append(out[i].ports, k.port)
	}
	return out
}

// alike reports whether two differences have the same marks and the same ports.
func (d *difference) alike(o *difference) bool {
	return d.before == o.before && d.after == o.after && slices.Equal(d.ports, o.ports)
}

// summary is a group of differences with the same marks and the same ports. The differences
// also have the same source or the same destination.
type summary struct {
	difference
	// If `into` is true, the differences have the same destination. Otherwise they have the same
	// source.
	into bool
	// If `into` is true, `others` contains the sources of the differences. Otherwise it contains
	// the destinations.
	others []*topology.End
}

// summarize forms groups of differences. The differences in a group are alike and have the same
// destination or the same source. Each difference could be in two such groups, and summarize adds
// it only to the larger one.
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

// Differences writes how the results changed between two rounds. The parameters `before` and
// `after` contain the attempts of the two rounds, for the same connections. The `ports` parameter
// contains all ports that were tried.
func (p *Page) Differences(before, after []*wire.Attempt, ports []topology.Port) {
	all := differences(before, after)
	if len(all) == 0 {
		p.Line("    no result changes")
		return
	}
	for _, s := range summarize(all) {
		word, end, others := "into", s.to, "           from "
		if !s.into {
			word, end, others = "out of", s.from, "           to "
		}
		p.Line("    %s → %s  %s %s, %s", p.paint(s.before.style(), string(s.before)), p.paint(s.after.style(), string(s.after)),
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
