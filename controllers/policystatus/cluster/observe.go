package cluster

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/controllers/digest"
	"github.com/sluicenet/sluice/policy"
)

// Observation is the state of one policy in the cluster.
type Observation struct {
	Policy *policy.Policy
	// Pods is the number of pods that the policy selects, with or without an address.
	Pods int
	// Nodes is the number of nodes that must enforce the policy. These are the nodes with a
	// selected pod that has an address.
	Nodes int
	// Lags lists the nodes that must enforce the policy, but have not reported that they enforce
	// its current version for the current pods. The list is sorted by name.
	Lags []Lag
}

// Lag describes a node that must enforce a policy but has not reported that it does.
type Lag struct {
	Node string
	// Problem describes why the node is not known to enforce any policy. It is "" if the node
	// enforces policies, but not the current version of this policy.
	Problem string
}

// Observe returns the state of a policy. It returns nil if the index does not contain the
// policy.
func (x *Index) Observe(name types.NamespacedName) *Observation {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.policiesIn(name.Namespace)[name.Name]
	if p == nil {
		return nil
	}
	pods, byNode := x.selectedBy(p.Policy)
	out := &Observation{Policy: p.Policy, Pods: pods, Nodes: len(byNode)}
	for _, name := range slices.Sorted(maps.Keys(byNode)) {
		r := x.node(name).report
		if !r.covers(digest.Of(p.Policy, byNode[name])) {
			out.Lags = append(out.Lags, Lag{Node: name, Problem: r.Problem})
		}
	}
	p.lagging = len(out.Lags)
	return out
}

// selected returns the number of a namespace's pods that a policy selects. It adds the selected
// pods that are reachable to the `byNode` map.
func (ns *namespace) selected(p *policy.Policy, byNode map[string][]*policy.Pod) (pods int) {
	for labels, group := range ns.byLabels {
		if !p.Subject.Pods.Matches(labels) {
			continue
		}
		for _, pod := range group {
			if !p.Selects(pod, ns.object) {
				continue
			}
			pods++
			if reachable(pod) {
				byNode[pod.Node] = append(byNode[pod.Node], pod)
			}
		}
	}
	return pods
}

// Affected returns the names of the policies whose observation changes because the state of a
// pod changed. The `before` parameter is nil for a new pod, and the `after` parameter is nil for a
// deleted pod.
func (x *Index) Affected(before, after *policy.Pod) []types.NamespacedName {
	pod := after
	if pod == nil {
		pod = before
	}
	same := before != nil && after != nil && before.UID == after.UID && before.Node == after.Node &&
		reachable(before) == reachable(after) && slices.Equal(before.Addresses, after.Addresses)
	x.mu.RLock()
	defer x.mu.RUnlock()
	ns := x.namespaces[pod.Namespace]
	selects := func(p *policy.Policy, state *policy.Pod) bool { return state != nil && p.Selects(state, ns.object) }
	var out []types.NamespacedName
	for _, p := range x.mayApply(pod.Namespace) {
		was, is := selects(p.Policy, before), selects(p.Policy, after)
		if was != is || is && !same {
			out = append(out, nameOf(p.Policy))
		}
	}
	return out
}
