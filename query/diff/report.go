package diff

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/query/internal/family"
	"github.com/sluicenet/sluice/query/internal/phrase"
)

// collector collects the effects on the flows between ends. If the effects are equal for all
// groups of a workload, the collector combines the groups into one end.
type collector struct {
	c *comparison
	// workloads contains the indexes of the groups of each workload that has several groups.
	workloads map[string][]int
	ends      map[string]*End
	entries   []entry
	// groupNames contains the name of the end of each group, by the index of the group.
	// workloadNames contains the names of workloads. A name is added when it is needed for the
	// first time.
	groupNames    []string
	workloadNames map[string]string
}

// entry is an effect on the flows between two ends.
type entry struct {
	from, to string
	effect   *effect
	// families is 0 for both families. Otherwise it is the family plus 1.
	families family.Family
}

func newCollector(c *comparison) *collector {
	r := &collector{
		c: c, workloads: map[string][]int{}, ends: map[string]*End{},
		groupNames: make([]string, len(c.groups)), workloadNames: map[string]string{},
	}
	for i, g := range c.groups {
		r.workloads[g.workload] = append(r.workloads[g.workload], i)
	}
	maps.DeleteFunc(r.workloads, func(_ string, groups []int) bool { return len(groups) < 2 })
	return r
}

// cell contains the numbers of the lists of effects by family.
type cell [family.Count]int

var notApplicableCell = cell{notApplicable, notApplicable}

// addPods adds the effects on the flows between pods. A target is the index of a group, or the
// negative index of a workload minus 1.
func (r *collector) addPods() {
	names := slices.Sorted(maps.Keys(r.workloads))
	rows := make([]map[int]cell, len(r.c.groups))
	for i, from := range r.c.groups {
		row := make([]cell, len(r.c.groups))
		for j, to := range r.c.groups {
			if from.affected[rule.Egress] || to.affected[rule.Ingress] {
				row[j] = r.between(from, to)
			}
		}
		rows[i] = r.mergeTargets(row, names)
	}
	for _, name := range names {
		r.mergeSources(name, rows, names)
	}
	for i, row := range rows {
		r.addRow(r.groupEnd(i), row, names)
	}
}

func (r *collector) between(from, to *group) (out cell) {
	for _, f := range family.All {
		out[f] = r.c.between(from, to, f)
	}
	return out
}

// mergeTargets combines the groups of a workload if the effects on the flows to all these groups
// are equal. It omits targets without effects.
func (r *collector) mergeTargets(row []cell, names []string) map[int]cell {
	out := map[int]cell{}
	for i, name := range names {
		same := notApplicableCell
		if slices.ContainsFunc(r.workloads[name], func(j int) bool { return !merge(&same, row[j]) }) {
			continue
		}
		for _, j := range r.workloads[name] {
			row[j] = cell{}
		}
		if !same.none() {
			out[-1-i] = same
		}
	}
	for j, c := range row {
		if !c.none() {
			out[j] = c
		}
	}
	return out
}

func (c cell) none() bool { return c[0] <= 0 && c[1] <= 0 }

// merge sets `same` to the effects of both cells. It returns false if the cells differ. A cell without
// a flow is equal to every other cell.
func merge(same *cell, c cell) bool {
	switch {
	case c == notApplicableCell:
	case *same == notApplicableCell:
		*same = c
	default:
		return *same == c
	}
	return true
}

// mergeSources combines the rows of the groups of a workload for each target for which they are equal.
func (r *collector) mergeSources(name string, rows []map[int]cell, names []string) {
	merged := map[int]cell{}
	for target := range rows[r.workloads[name][0]] {
		same := rows[r.workloads[name][0]][target]
		if !slices.ContainsFunc(r.workloads[name], func(i int) bool { return rows[i][target] != same }) {
			merged[target] = same
		}
	}
	for target := range merged {
		for _, i := range r.workloads[name] {
			delete(rows[i], target)
		}
	}
	r.addRow(r.workloadEnd(name), merged, names)
}

// addRow adds the effects on the flows from one end.
func (r *collector) addRow(from string, row map[int]cell, names []string) {
	for target, c := range row {
		if target < 0 {
			r.add(from, r.workloadEnd(names[-1-target]), c)
		} else {
			r.add(from, r.groupEnd(target), c)
		}
	}
}

// add adds the effects on the flows between two ends.
func (r *collector) add(from, to string, c cell) {
	var lists [family.Count][]*effect
	for f := range lists {
		if c[f] > 0 {
			lists[f] = r.c.lists[c[f]]
		}
	}
	for _, f := range family.All {
		other := 1 - f
		for _, e := range lists[f] {
			switch {
			case c[other] == notApplicable:
				r.entries = append(r.entries, entry{from, to, e, 0})
			case !slices.Contains(lists[other], e):
				r.entries = append(r.entries, entry{from, to, e, f + 1})
			case f == 0:
				r.entries = append(r.entries, entry{from, to, e, 0})
			}
		}
	}
}

// groupEnd returns the name of the end that consists of the pods of a group.
func (r *collector) groupEnd(i int) string {
	if r.groupNames[i] == "" {
		r.groupNames[i] = r.newGroupEnd(i)
	}
	return r.groupNames[i]
}

func (r *collector) newGroupEnd(i int) string {
	g := r.c.groups[i]
	var pods []string
	for _, p := range g.pods {
		pods = append(pods, p.String())
	}
	name := phrase.Few(pods)
	if r.workloads[g.workload] == nil {
		name = r.workloadName(g.workload)
	} else if len(pods) > phrase.MaxNames {
		name += " of " + r.workloadName(g.workload)
	}
	return r.end(&End{Name: name, Pods: pods})
}

// workloadEnd returns the name of the end that consists of all pods of a workload.
func (r *collector) workloadEnd(workload string) string {
	name := r.workloadName(workload)
	if r.ends[name] != nil {
		return name
	}
	var pods []string
	for _, i := range r.workloads[workload] {
		for _, p := range r.c.groups[i].pods {
			pods = append(pods, p.String())
		}
	}
	return r.end(&End{Name: name, Pods: pods})
}

// workloadName returns the namespace and the name of a workload. If several workloads have this name,
// it also contains the kind.
func (r *collector) workloadName(workload string) string {
	if r.workloadNames[workload] == "" {
		r.workloadNames[workload] = r.newWorkloadName(workload)
	}
	return r.workloadNames[workload]
}

func (r *collector) newWorkloadName(workload string) string {
	at := strings.LastIndexByte(workload, '/')
	same := func(g *group) bool {
		return g.workload != workload && strings.HasPrefix(g.workload, workload[:at+1])
	}
	if at+1 < len(workload) && slices.ContainsFunc(r.c.groups, same) {
		return workload[:at] + " (" + workload[at+1:] + ")"
	}
	return workload[:at]
}

// end stores an end and returns its name.
func (r *collector) end(e *End) string {
	if r.ends[e.Name] == nil {
		r.ends[e.Name] = e
	}
	return e.Name
}

func texts(prefixes []netip.Prefix) (out []string) {
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return out
}
