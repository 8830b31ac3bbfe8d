package propose

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/inventory"
)

// preferred contains labels in the order in which authors of policies usually select pods.
var preferred = []string{"app.kubernetes.io/name", "app", "k8s-app", "app.kubernetes.io/component", "component", "tier", "role"}

// pair is a label.
type pair struct{ key, value string }

// selectorOf returns the shortest list of labels that select the pods of a workload and no other
// pods of the namespace. If there is no such list, it returns all stable labels, and the names of
// the other pods that these labels select.
func selectorOf(set *inventory.Set, pod *inventory.Pod) (labels []pair, also []string) {
	var own, others []*inventory.Pod
	for i := range set.Pods {
		p := &set.Pods[i]
		switch {
		case p.Pod.Namespace != pod.Pod.Namespace || p.HostNetwork || p.Finished:
		case p.Workload == pod.Workload && p.Controller == pod.Controller:
			own = append(own, p)
		default:
			others = append(others, p)
		}
	}
	all := shared(own, pod)
	for size := 1; size <= 2; size++ {
		for _, candidate := range combinations(all, size) {
			if len(selected(candidate, others)) == 0 {
				return candidate, nil
			}
		}
	}
	for _, p := range selected(all, others) {
		also = append(also, p.String())
	}
	return all, also
}

// shared returns the labels that all pods of a workload have. The labels in the list `preferred`
// come first. shared omits the labels that controllers add, because they can change with each
// rollout. A selector with such a label would then no longer match.
func shared(own []*inventory.Pod, pod *inventory.Pod) (out []pair) {
	for key, value := range pod.Labels.All() {
		label := pair{key, value}
		if !slices.Contains(inventory.ControllerLabels, key) && len(selected([]pair{label}, own)) == len(own) {
			out = append(out, label)
		}
	}
	rank := func(p pair) int {
		if i := slices.Index(preferred, p.key); i >= 0 {
			return i
		}
		return len(preferred)
	}
	slices.SortFunc(out, func(a, b pair) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.key, b.key))
	})
	return out
}

// combinations returns all lists of one or two labels, in the order of the labels.
func combinations(labels []pair, size int) (out [][]pair) {
	for i := range labels {
		if size == 1 {
			out = append(out, labels[i:i+1])
			continue
		}
		for j := i + 1; j < len(labels); j++ {
			out = append(out, []pair{labels[i], labels[j]})
		}
	}
	return out
}

func selected(labels []pair, pods []*inventory.Pod) (out []*inventory.Pod) {
	for _, p := range pods {
		if !slices.ContainsFunc(labels, func(l pair) bool { return !p.Labels.Has(l.key) || p.Labels.Get(l.key) != l.value }) {
			out = append(out, p)
		}
	}
	return out
}
