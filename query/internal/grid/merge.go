package grid

import "fmt"

// End is a pod or an address.
type End struct {
	Name string
	// Workload identifies the workload of a pod. It is "" for an address.
	Workload string
}

// New returns a grid. The first index of `cells` is the source, and the second index is the
// destination. Both refer to the list `ends`. The `classes` parameter contains the result of
// alike.Classes for these cells. If all pods of a workload are in the same class, they share one row
// and one column, with a name such as "shop/web (3)".
func New(ends []End, cells [][]Cell, classes [][]int) *Grid {
	class := make([]int, len(ends))
	for k, members := range classes {
		for _, i := range members {
			class[i] = k
		}
	}
	pods := map[string][]int{}
	for i, e := range ends {
		if e.Workload != "" {
			pods[e.Workload] = append(pods[e.Workload], i)
		}
	}
	var names []string
	// first[k] is the index in ends of the first pod of row k. last[k] is the index of its last pod.
	var first, last []int
	for i, e := range ends {
		group := pods[e.Workload]
		switch {
		case len(group) < 2 || !sameClass(class, group):
			names, first, last = append(names, e.Name), append(first, i), append(last, i)
		case group[0] == i:
			names = append(names, fmt.Sprintf("%s (%d)", e.Workload, len(group)))
			first, last = append(first, i), append(last, group[len(group)-1])
		}
	}
	merged := make([][]Cell, len(names))
	for k, from := range first {
		for _, to := range last {
			merged[k] = append(merged[k], cells[from][to])
		}
	}
	return &Grid{names: names, cells: merged}
}

// sameClass reports whether all ends of a group are in the same class.
func sameClass(class, group []int) bool {
	for _, i := range group {
		if class[i] != class[group[0]] {
			return false
		}
	}
	return true
}
