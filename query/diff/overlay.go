package diff

import (
	"slices"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/query/question"
)

// Overlay returns a copy of a set in which the objects of a draft replace the objects with the same
// kind, namespace and name, and in which the policies in the `deleted` list are missing. An entry of
// this list is "namespace/name" for a NetworkPolicy, and "name" for a ClusterNetworkPolicy. If there
// is no such policy, Overlay returns an *question.InputError.
//
// A pod that the draft replaces keeps its addresses and its node if the draft contains no status of
// the pod. If the draft replaces a workload, the pods of the workload get the labels and the ports
// of the new pod template, as if they had been replaced.
func Overlay(base, draft *inventory.Set, deleted []string) (*inventory.Set, error) {
	out := copyOf(base)
	for i := range draft.Workloads {
		out.replaceWorkload(&draft.Workloads[i])
	}
	out.Namespaces = replace(out.Namespaces, draft.Namespaces, func(n *inventory.Namespace) string { return n.Name })
	out.Nodes = replace(out.Nodes, draft.Nodes, func(n *inventory.Node) string { return n.Name })
	out.Policies = replace(out.Policies, draft.Policies, func(p *inventory.Policy) string { return p.String() })
	for i := range draft.Pods {
		out.replacePod(draft.Pods[i])
	}
	for _, name := range deleted {
		at := slices.IndexFunc(out.Policies, func(p inventory.Policy) bool { return p.String() == name })
		if at < 0 {
			return nil, question.Errorf("delete", name, "there is no such policy; give a NetworkPolicy as namespace/name, or a ClusterNetworkPolicy as name")
		}
		out.Policies = slices.Delete(out.Policies, at, at+1)
	}
	return &out.Set, nil
}

// set is a set whose lists can be changed.
type set struct{ inventory.Set }

// copyOf returns a copy of a set. The copy shares only the objects that a snapshot does not change.
func copyOf(in *inventory.Set) *set {
	out := &set{*in}
	out.Pods, out.Namespaces, out.Nodes = slices.Clone(in.Pods), slices.Clone(in.Namespaces), slices.Clone(in.Nodes)
	out.Workloads = slices.Clone(in.Workloads)
	out.Policies = slices.Clone(in.Policies)
	for i := range out.Policies {
		p := *out.Policies[i].Policy
		out.Policies[i].Policy = &p
	}
	return out
}

// replace replaces the objects that have the same key as an object of a draft, and appends the other
// objects of the draft.
func replace[T any](list, draft []T, key func(*T) string) []T {
	at := make(map[string]int, len(list))
	for i := range list {
		at[key(&list[i])] = i
	}
	for i := range draft {
		if old, ok := at[key(&draft[i])]; ok {
			list[old] = draft[i]
		} else {
			list = append(list, draft[i])
		}
	}
	return list
}

func (s *set) replacePod(pod inventory.Pod) {
	at := slices.IndexFunc(s.Pods, func(p inventory.Pod) bool { return p.String() == pod.String() })
	if at < 0 {
		s.Pods = append(s.Pods, pod)
		return
	}
	old := &s.Pods[at]
	if pod.NoStatus {
		pod.Addresses, pod.HostAddresses, pod.Node, pod.Running = old.Addresses, old.HostAddresses, old.Node, old.Running
		pod.Assigned, pod.NoStatus = old.Assigned, old.NoStatus
	}
	if pod.Controller == "" {
		pod.Controller, pod.Workload = old.Controller, old.Workload
	}
	*old = pod
}

func (s *set) replaceWorkload(w *inventory.Workload) {
	s.Workloads = replace(s.Workloads, []inventory.Workload{*w}, (*inventory.Workload).String)
	for i := range s.Pods {
		p := &s.Pods[i]
		if p.Controller != w.Kind || p.Workload != w.Name || p.Pod.Namespace != w.Namespace || p.Finished {
			continue
		}
		labels := w.Pod.Labels
		for key, value := range p.Labels.All() {
			if slices.Contains(inventory.ControllerLabels, key) {
				labels = labels.With(key, value)
			}
		}
		p.Labels, p.Ports, p.HostNetwork = labels, w.Pod.Ports, w.Pod.HostNetwork
	}
}

// prepare adds pods for the workloads without pods, and assigns addresses to pods without a status.
// Pods that already have assigned addresses keep them.
func (s *set) prepare() {
	s.AddTemplates()
	for i := range s.Pods {
		s.Pods[i].NoStatus = s.Pods[i].NoStatus && len(s.Pods[i].Addresses) == 0
	}
	s.AssignAddresses()
}
