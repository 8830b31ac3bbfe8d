// Package freeing decides when a node that is no longer selected is freed, that is, when the rules
// are removed from the node. The functions send no requests.
//
// Freeing a node ends enforcement on it, so a typing error in a nodeSelector or in the labels of
// nodes must not free many nodes at once:
//
//   - Freeing starts after a wait, in which the user can correct the error.
//   - Only some of the nodes are freed at the same time. If a node cannot be freed, no other node
//     takes its place, so a systematic fault affects only these nodes.
//   - Policies remain enforced on a node until it is freed. The main DaemonSet ends its pod on a
//     node as soon as the node has lost its label. A second DaemonSet therefore runs a pod there
//     until the node is freed. It selects nodes by name. The names must not be in the template of
//     the main DaemonSet, because any change of this template would replace the pods of all nodes.
//
// The wait is measured with the clock of one operator, from the first time that this operator sees
// that a node is no longer selected. After a restart, the new operator waits again. Nodes that are
// already being freed do not wait again, because the uninstall DaemonSet lists them.
package freeing

import (
	"fmt"
	"slices"
	"time"
)

// Schedule stores how long nodes have not been selected, and which nodes are being freed. The
// zero value is ready to use. It must not be used concurrently.
type Schedule struct {
	since map[string]time.Time
	begun []string
}

// State describes the nodes from which a Schedule computes a Plan. All lists are sorted.
type State struct {
	// Now is the current time, and After is the duration of the wait.
	Now   time.Time
	After time.Duration
	// Unselected contains the nodes that have rules and are not selected.
	Unselected []string
	// Begun contains the nodes that an earlier plan started to free. It may contain nodes that have
	// already been freed, or that are selected again.
	Begun []string
	// Unavailable contains nodes that cannot be freed now, for example because they are not
	// ready. Their wait starts when they are available again.
	Unavailable []string
	// Nodes is the number of all nodes with rules.
	Nodes int
	// Rejected is true if the nodeSelector matches no node. Then no node may be freed.
	Rejected bool
}

// Plan contains the unselected nodes. Each of them is in exactly one of the lists Free, Waiting,
// Queued and Kept. All lists are sorted.
type Plan struct {
	// Free contains the nodes to free now.
	Free []string
	// Waiting contains the nodes whose wait is not over. Queued contains the nodes whose wait is
	// over, but that must wait until other nodes have been freed.
	Waiting, Queued []string
	// Kept contains the other unselected nodes. Either they are unavailable, or Rejected is true.
	Kept []string
	// New contains the nodes in Waiting, Queued and Free that earlier plans did not contain.
	New []string
	// Limit is the number of nodes that are freed at the same time, at least 1.
	Limit int
	// Due contains the time at which the wait of a node ends, for each node in Waiting.
	Due map[string]time.Time
}

// Enforced returns the nodes that wait to be freed. Until Sluice removes its rules from these nodes,
// policies are enforced on them.
func (p *Plan) Enforced() []string {
	return slices.Sorted(slices.Values(slices.Concat(p.Waiting, p.Queued, p.Kept)))
}

// Limit returns how many of the given number of nodes are freed at the same time: a tenth, but at
// least one.
func Limit(nodes int) int { return max(nodes/10, 1) }

// Plan returns the plan for the given state.
func (s *Schedule) Plan(state State) Plan {
	plan := Plan{Limit: Limit(state.Nodes), Due: map[string]time.Time{}}
	since := map[string]time.Time{}
	var due []string
	for _, node := range state.Unselected {
		if state.Rejected || contains(state.Unavailable, node) {
			plan.Kept = append(plan.Kept, node)
			continue
		}
		begun := contains(state.Begun, node) || contains(s.begun, node)
		first, seen := s.since[node]
		if !seen {
			first = state.Now
			if !begun {
				plan.New = append(plan.New, node)
			}
		}
		since[node] = first
		switch end := first.Add(state.After); {
		case begun && len(plan.Free) < plan.Limit:
			plan.Free = append(plan.Free, node)
		case !begun && end.After(state.Now):
			plan.Waiting = append(plan.Waiting, node)
			plan.Due[node] = end
		default:
			due = append(due, node)
		}
	}
	s.since = since
	// Nodes that are being freed come first, so that the others do not take their place.
	room := min(plan.Limit-len(plan.Free), len(due))
	plan.Free, plan.Queued = append(plan.Free, due[:room]...), due[room:]
	slices.Sort(plan.Free)
	s.begun = plan.Free
	return plan
}

// contains reports whether a sorted list contains a name.
func contains(list []string, name string) bool {
	_, found := slices.BinarySearch(list, name)
	return found
}

// Next returns the time from now until the first wait of the plan ends, or 0 if no node waits.
func (p *Plan) Next(now time.Time) time.Duration {
	var next time.Duration
	for _, end := range p.Due {
		if left := max(end.Sub(now), time.Millisecond); next == 0 || left < next {
			next = left
		}
	}
	return next
}

// Lines returns a line for each node that will be freed later. A line contains the time at which
// the wait ends. This time does not change while the node waits, unlike the remaining time.
func (p *Plan) Lines() []string {
	var out []string
	for _, node := range p.Waiting {
		end := p.Due[node].UTC().Truncate(time.Second).Add(time.Second)
		out = append(out, node+": enforces policies until "+end.Format("2006-01-02 15:04:05 UTC"))
	}
	for _, node := range p.Queued {
		out = append(out, fmt.Sprintf("%s: enforces policies until others are free, at most %d at the same time", node, p.Limit))
	}
	return out
}
