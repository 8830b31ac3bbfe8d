package diff

import (
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/query/internal/family"
	"github.com/sluicenet/sluice/query/internal/phrase"
)

// addOutside adds the effects on the flows between pods and addresses that belong to no pod.
func (r *collector) addOutside() {
	done := map[string]bool{}
	for i, g := range r.c.groups {
		groups := r.workloads[g.workload]
		if groups == nil {
			r.addOutsideOf(r.groupEnd(i), r.outsideOf(g))
			continue
		}
		if done[g.workload] {
			continue
		}
		done[g.workload] = true
		r.addOutsideOfWorkload(g.workload, groups)
	}
}

// addOutsideOfWorkload combines the effects that are equal for all groups of a workload.
func (r *collector) addOutsideOfWorkload(workload string, groups []int) {
	all := make([]map[outsideEntry]bool, len(groups))
	for n, i := range groups {
		all[n] = r.outsideOf(r.c.groups[i])
	}
	same := map[outsideEntry]bool{}
	for e := range all[0] {
		if !slices.ContainsFunc(all, func(of map[outsideEntry]bool) bool { return !of[e] }) {
			same[e] = true
		}
	}
	if len(same) > 0 {
		r.addOutsideOf(r.workloadEnd(workload), same)
	}
	for n, i := range groups {
		for e := range same {
			delete(all[n], e)
		}
		if len(all[n]) > 0 {
			r.addOutsideOf(r.groupEnd(i), all[n])
		}
	}
}

// outsideEntry is an effect on the flows between a pod and addresses that belong to no pod.
type outsideEntry struct {
	direction rule.Direction
	addresses string // The name of an end.
	effect    *effect
}

func (r *collector) addOutsideOf(pods string, entries map[outsideEntry]bool) {
	for e := range entries {
		if e.direction == rule.Egress {
			r.entries = append(r.entries, entry{pods, e.addresses, e.effect, 0})
		} else {
			r.entries = append(r.entries, entry{e.addresses, pods, e.effect, 0})
		}
	}
}

// outsideOf returns the effects on the flows between a group and addresses that belong to no pod.
func (r *collector) outsideOf(g *group) map[outsideEntry]bool {
	out := map[outsideEntry]bool{}
	for _, d := range []rule.Direction{rule.Egress, rule.Ingress} {
		if !g.affected[d] {
			continue
		}
		var of [family.Count]*outside
		effects := map[*effect]bool{}
		for _, f := range family.All {
			if g.peers[f] == 0 {
				continue
			}
			of[f] = r.c.outside(g, d, f)
			for _, list := range of[f].lists {
				for _, e := range r.c.effectsIn(list) {
					effects[e] = true
				}
			}
		}
		for e := range effects {
			out[outsideEntry{d, r.addressEnd(of, e), e}] = true
		}
	}
	return out
}

// effectsIn returns the list of effects with a number.
func (c *comparison) effectsIn(list int) []*effect {
	if list == notApplicable {
		return nil
	}
	return c.lists[list]
}

// addressEnd returns the name of the end that consists of the addresses with an effect.
func (r *collector) addressEnd(of [family.Count]*outside, e *effect) string {
	end := &End{}
	var parts []string
	whole, present := 0, 0
	for _, f := range family.All {
		o := of[f]
		if o == nil {
			continue
		}
		present++
		prefixes, excepts := o.where(f, func(list int) bool { return slices.Contains(r.c.effectsIn(list), e) })
		if len(prefixes) == 0 {
			continue
		}
		end.Addresses, end.Except = append(end.Addresses, texts(prefixes)...), append(end.Except, texts(excepts)...)
		if prefixes[0].Bits() == 0 && len(excepts) == 0 {
			whole++
			parts = append(parts, f.String()+" addresses outside the cluster")
			continue
		}
		part := phrase.Few(texts(prefixes))
		if len(excepts) > 0 {
			part += " except " + phrase.Few(texts(excepts))
		}
		parts = append(parts, part)
	}
	end.Name = strings.Join(parts, ", ")
	if whole == present {
		end.Name = "addresses outside the cluster"
	}
	if other := r.ends[end.Name]; other != nil && !(slices.Equal(other.Addresses, end.Addresses) && slices.Equal(other.Except, end.Except)) {
		end.Name = strings.Join(end.Addresses, ", ") + " except " + strings.Join(end.Except, ", ")
	}
	return r.end(end)
}
