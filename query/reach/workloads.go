package reach

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
)

// maxPorts is the maximum number of ports of a workload that are evaluated.
const maxPorts = 12

// end is a workload with the pod whose flows are evaluated.
type end struct {
	Workload
	pod *inventory.Pod
	// The field `second` is another pod of the workload, or nil if there is only one pod.
	second *inventory.Pod
	// policies contains the names of the policies that select the pod.
	policies []string
	evaluate []port
}

// port is a Port in the form that flows contain.
type port struct {
	protocol flow.Protocol
	number   uint16
}

// String returns the protocol and the number, such as "TCP 80".
func (p port) String() string {
	return policy.Port{Protocol: p.protocol, First: p.number, Last: p.number}.String()
}

type key struct{ namespace, kind, name string }

// ends returns the workloads of a set, sorted by namespace, name and kind. It omits finished pods,
// pods in the host network and pods without an address, because no policy applies to them.
func ends(set *inventory.Set) []end {
	index := map[key]int{}
	var out []end
	for i := range set.Pods {
		p := &set.Pods[i]
		if p.HostNetwork || p.Finished || len(p.Addresses) == 0 {
			continue
		}
		k := key{p.Pod.Namespace, p.Controller, p.Workload}
		at, found := index[k]
		if !found {
			at = len(out)
			index[k] = at
			out = append(out, end{Workload: Workload{Ref: Of(p), Namespace: k.namespace, Kind: k.kind, Name: k.name}, pod: p})
		}
		if len(out[at].Pods) == 1 {
			out[at].second = p
		}
		out[at].Pods = append(out[at].Pods, p.String())
	}
	selected := newSelection(set)
	for i := range out {
		selected.complete(&out[i])
	}
	slices.SortFunc(out, func(a, b end) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}

// Of returns the reference of the workload to which a pod belongs, as in Workload.Ref.
func Of(p *inventory.Pod) string {
	if slices.Contains(inventory.WorkloadKinds, p.Controller) {
		return p.Pod.Namespace + "/" + strings.ToLower(p.Controller) + "/" + p.Workload
	}
	return p.String()
}

// selection finds the policies and the ports of pods.
type selection struct {
	set        *inventory.Set
	namespaces map[string]*policy.Namespace
}

func newSelection(set *inventory.Set) *selection {
	s := &selection{set, map[string]*policy.Namespace{}}
	for i := range set.Namespaces {
		n := set.Namespaces[i].Namespace
		n.Labels = n.Labels.With("kubernetes.io/metadata.name", n.Name)
		s.namespaces[n.Name] = &n
	}
	return s
}

// complete sets the policies and the ports of an end.
func (s *selection) complete(e *end) {
	named := map[port]string{}
	add := func(p port, name string) {
		if p.number != 0 && (named[p] == "" || name != "") {
			named[p] = name
		}
	}
	for _, p := range e.pod.Ports {
		add(port{p.Protocol, p.Number}, p.Name)
	}
	s.addServices(e.pod, add)
	for i := range s.set.Policies {
		p := &s.set.Policies[i]
		if !p.Selects(&e.pod.Pod, s.namespaces[e.Namespace]) {
			continue
		}
		e.policies = append(e.policies, p.String())
		if p.Affects(rule.Egress) {
			e.Egress = append(e.Egress, p.String())
		}
		if p.Affects(rule.Ingress) {
			e.Ingress = append(e.Ingress, p.String())
			addRules(p.Policy, e.pod, add)
		}
	}
	e.setPorts(named)
}

func (s *selection) addServices(pod *inventory.Pod, add func(port, string)) {
	for _, service := range s.set.Services {
		if !service.Selects(&pod.Pod) {
			continue
		}
		for i := range service.Ports {
			p := &service.Ports[i]
			number := p.Number
			if !service.Headless {
				number = p.TargetOf(&pod.Pod)
			}
			add(port{p.Protocol, number}, "")
		}
	}
}

// addRules adds the single ports in the ingress rules of a policy. It ignores ranges.
func addRules(p *policy.Policy, pod *inventory.Pod, add func(port, string)) {
	for i := range p.Ingress {
		for _, q := range p.Ingress[i].Ports {
			switch {
			case !q.Protocol.HasPorts():
			case q.Name != "":
				add(port{q.Protocol, pod.Ports.Number(q.Protocol, q.Name)}, q.Name)
			case q.First == q.Last:
				add(port{q.Protocol, q.First}, "")
			}
		}
	}
}

func (e *end) setPorts(named map[port]string) {
	for p := range named {
		e.evaluate = append(e.evaluate, p)
	}
	slices.SortFunc(e.evaluate, func(a, b port) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.protocol, b.protocol))
	})
	e.evaluate = e.evaluate[:min(len(e.evaluate), maxPorts)]
	if len(e.evaluate) == 0 {
		e.Assumed, e.evaluate = true, []port{{flow.TCP, 80}}
	}
	for _, p := range e.evaluate {
		e.Ports = append(e.Ports, Port{Protocol: p.protocol.String(), Number: p.number, Name: named[p]})
	}
}

// Selected returns, for each policy, the Refs of the workloads that the policy selects. The keys are
// the names of policies, as policy.Policy.String returns them.
func Selected(set *inventory.Set) map[string][]string {
	out := make(map[string][]string, len(set.Policies))
	for _, e := range ends(set) {
		for _, name := range e.policies {
			out[name] = append(out[name], e.Ref)
		}
	}
	return out
}

// Nodes returns the sorted names of the nodes that run pods which a policy selects.
func Nodes(set *inventory.Set, p *policy.Policy) []string {
	s := newSelection(set)
	var out []string
	for i := range set.Pods {
		if pod := &set.Pods[i].Pod; pod.Node != "" && p.Selects(pod, s.namespaces[pod.Namespace]) {
			out = append(out, pod.Node)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
