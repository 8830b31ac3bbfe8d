package diff

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/query/internal/family"
)

// side identifies the flows with an effect that have one end in common. This end is the pod whose
// policies cause the effect.
type side struct {
	effect   *effect
	families family.Family
	// If ingress is true, the common end is the destination.
	ingress bool
}

// changes returns the changes and their ends. It combines flows with the same effect in two steps:
// first the flows that have one end in common, and then the ends with the same flows.
func (r *collector) changes() ([]Change, []End) {
	others := map[side]map[string]map[string]bool{}
	for _, e := range r.entries {
		s := side{e.effect, e.families, slices.ContainsFunc(e.effect.causes, func(c Cause) bool { return c.Direction == rule.Ingress.String() })}
		common, other := e.from, e.to
		if s.ingress {
			common, other = e.to, e.from
		}
		if others[s] == nil {
			others[s] = map[string]map[string]bool{}
		}
		if others[s][common] == nil {
			others[s][common] = map[string]bool{}
		}
		others[s][common][other] = true
	}
	out := []Change{}
	for s, of := range others {
		out = append(out, r.combine(s, of)...)
	}
	slices.SortFunc(out, func(a, b Change) int {
		return cmp.Or(-cmp.Compare(a.Effect, b.Effect), slices.Compare(a.To, b.To), slices.Compare(a.From, b.From), slices.Compare(a.Ports, b.Ports),
			slices.Compare(a.Families, b.Families), cmp.Compare(a.Causes[0].Text, b.Causes[0].Text))
	})
	return out, r.usedEnds(out)
}

// combine combines the ends that have the same flows. An end that consists of one pod has no flow to
// itself. If this is the only difference between the flows of ends, combine ignores it.
func (r *collector) combine(s side, of map[string]map[string]bool) (out []Change) {
	exact := map[string][]string{}
	for common, others := range of {
		key := keyOf(others)
		exact[key] = append(exact[key], common)
	}
	withSelf := map[string][]string{}
	for key, common := range exact {
		if len(common) == 1 && len(r.ends[common[0]].Pods) == 1 {
			others := maps.Clone(of[common[0]])
			others[common[0]] = true
			key := keyOf(others)
			withSelf[key] = append(withSelf[key], common[0])
			continue
		}
		out = append(out, s.change(common, strings.Split(key, "\n")))
	}
	for key, common := range withSelf {
		if len(common) == 1 {
			key = keyOf(of[common[0]])
		}
		out = append(out, s.change(common, strings.Split(key, "\n")))
	}
	return out
}

func keyOf(names map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(names)), "\n")
}

func (s side) change(common, others []string) Change {
	slices.Sort(common)
	c := Change{Effect: Lose, From: common, To: others, Ports: s.effect.ports, Causes: s.effect.causes}
	if s.effect.gain {
		c.Effect = Gain
	}
	if s.ingress {
		c.From, c.To = others, common
	}
	if s.families > 0 {
		c.Families = []string{(s.families - 1).String()}
	}
	return c
}

// usedEnds returns all sources and destinations of the given changes.
func (r *collector) usedEnds(changes []Change) []End {
	used := map[string]bool{}
	for i := range changes {
		for _, name := range slices.Concat(changes[i].From, changes[i].To) {
			used[name] = true
		}
	}
	out := []End{}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		out = append(out, *r.ends[name])
	}
	return out
}
