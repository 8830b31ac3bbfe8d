package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
)

// end is one end of a flow that a person asked about: a pod or an address.
type end struct {
	// Name is "namespace/name" of a pod, "" for an address that is no pod's.
	Name string `json:"pod,omitempty"`
	// Node is the pod's node.
	Node string `json:"node,omitempty"`
	// Address is the one that is judged.
	Address netip.Addr `json:"address"`

	addresses   []netip.Addr
	ports       []policy.ContainerPort
	hostNetwork bool
}

// String gives the name as people use it.
func (e *end) String() string {
	if e.Name == "" {
		return e.Address.String()
	}
	return e.Name
}

// namespace gives a pod's namespace.
func (e *end) namespace() string {
	namespace, _, _ := strings.Cut(e.Name, "/")
	return namespace
}

// where tells address and node of a pod.
func (e *end) where() string {
	switch {
	case e.Name == "":
		return "no pod"
	case e.Node == "":
		return e.Address.String()
	default:
		return fmt.Sprintf("%s on %s", e.Address, e.Node)
	}
}

// findEnd finds what --from or --to means: an IP address, a pod as
// namespace/name or name, or a workload, of which any pod will do.
func findEnd(set *inventory.Set, s *policy.Snapshot, flagName, text, namespace string) (end, error) {
	if text == "" {
		return end{}, wrongf("--%s is missing: give a pod (name or namespace/name) or an IP address", flagName)
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" {
			return end{}, wrongf("--%s %s: give the address without its zone", flagName, text)
		}
		e := end{Address: addr, addresses: []netip.Addr{addr}}
		if p, ok := s.Owner(addr); ok {
			e.Name, e.Node, e.ports = p.Namespace+"/"+p.Name, p.Node, p.Ports
		}
		return e, nil
	}
	pod, err := findPod(set, flagName, text, namespace)
	if err != nil {
		return end{}, err
	}
	return podEnd(s, flagName, pod)
}

// findPod finds a pod by name, and where there is none of that name, one of a
// workload of that name: the first that has an address, or else the first.
func findPod(set *inventory.Set, flagName, text, namespace string) (*inventory.Pod, error) {
	name := text
	if before, after, ok := strings.Cut(text, "/"); ok {
		namespace, name = before, after
	}
	var pods, workloads []*inventory.Pod
	for i := range set.Pods {
		p := &set.Pods[i]
		if namespace != "" && p.Pod.Namespace != namespace {
			continue
		}
		if p.Name == name {
			pods = append(pods, p)
		}
		if p.Workload != name || p.Finished {
			continue
		}
		at := slices.IndexFunc(workloads, func(w *inventory.Pod) bool { return w.Pod.Namespace == p.Pod.Namespace })
		switch {
		case at < 0:
			workloads = append(workloads, p)
		case len(workloads[at].Addresses) == 0 && len(p.Addresses) > 0:
			workloads[at] = p
		}
	}
	if len(pods) == 0 {
		pods = workloads
	}
	switch {
	case len(pods) == 0:
		return nil, wrongf("--%s %s: no pod of that name; %s", flagName, text, podsThereAre(set))
	case len(pods) > 1:
		var names []string
		for _, p := range pods {
			names = append(names, p.Pod.Namespace+"/"+p.Name)
		}
		return nil, wrongf("--%s %s: there are several: %s; give namespace/name", flagName, text, few(names))
	}
	return pods[0], nil
}

func podsThereAre(set *inventory.Set) string {
	if len(set.Pods) == 0 {
		return "there is no pod among the manifests at all"
	}
	var names []string
	for i := range set.Pods {
		names = append(names, set.Pods[i].Pod.Namespace+"/"+set.Pods[i].Name)
	}
	slices.Sort(names)
	return "there are " + few(names)
}

// podEnd makes an end of a pod. What it cannot judge it explains.
func podEnd(s *policy.Snapshot, flagName string, p *inventory.Pod) (end, error) {
	name := p.Pod.Namespace + "/" + p.Name
	e := end{Name: name, Node: p.Node, ports: p.Ports, hostNetwork: p.HostNetwork}
	if p.HostNetwork {
		e.addresses = append(slices.Clone(p.HostAddresses), p.Addresses...)
		for _, n := range s.Nodes() {
			if n.Name == p.Node && len(e.addresses) == 0 {
				e.addresses = n.Addresses
			}
		}
		if len(e.addresses) == 0 {
			return end{}, wrongf("--%s %s: the pod is of the host network and its node's address is not among the manifests; give that address instead", flagName, name)
		}
		return e, nil
	}
	switch {
	case p.Finished:
		return end{}, wrongf("--%s %s: the pod has finished and has no address any more", flagName, name)
	case len(p.Addresses) == 0:
		return end{}, wrongf("--%s %s: the pod has no address yet (status.podIPs)", flagName, name)
	}
	for _, a := range p.Addresses {
		owner, _ := s.Owner(a)
		if owner.Namespace == p.Pod.Namespace && owner.Name == p.Name {
			e.addresses = append(e.addresses, a)
		}
	}
	if len(e.addresses) == 0 {
		owner, _ := s.Owner(p.Addresses[0])
		return end{}, wrongf("--%s %s: its address %s now belongs to pod %s/%s", flagName, name, p.Addresses[0], owner.Namespace, owner.Name)
	}
	return e, nil
}

// chooseFamily picks the address of each end that the flow is judged by: IPv4
// where both have it, else IPv6.
func chooseFamily(from, to *end) error {
	src, dst, ok := sameFamily(from.addresses, to.addresses)
	if !ok {
		return wrongf("%s and %s have no address family in common", from.label(), to.label())
	}
	from.Address, to.Address = src, dst
	return nil
}

// sameFamily picks an address of each, IPv4 if both have one.
func sameFamily(from, to []netip.Addr) (src, dst netip.Addr, ok bool) {
	for _, four := range []bool{true, false} {
		family := func(a netip.Addr) bool { return a.Is4() == four }
		i, j := slices.IndexFunc(from, family), slices.IndexFunc(to, family)
		if i >= 0 && j >= 0 {
			return from[i], to[j], true
		}
	}
	return netip.Addr{}, netip.Addr{}, false
}

func (e *end) label() string {
	if e.Name != "" {
		return e.Name
	}
	return e.addresses[0].String()
}

// findInTree finds an end in one node's tree: a pod of that node, or an
// address.
func findInTree(t *tree.Tree, flagName, text, namespace string) (end, error) {
	if text == "" {
		return end{}, wrongf("--%s is missing: give a pod of this node (name or namespace/name) or an IP address", flagName)
	}
	addr, err := netip.ParseAddr(text)
	isAddress := err == nil
	var found []end
	var all []string
	for pod := range t.Pods() {
		namespaceOf, name, _ := strings.Cut(pod.Name, "/")
		all = append(all, pod.Name)
		switch {
		case isAddress && slices.Contains(pod.Addresses, addr):
			return end{Name: pod.Name, Node: t.Node(), addresses: []netip.Addr{addr}}, nil
		case text == pod.Name, text == name && (namespace == "" || namespace == namespaceOf):
			found = append(found, end{Name: pod.Name, Node: t.Node(), addresses: pod.Addresses})
		}
	}
	switch {
	case isAddress && addr.Zone() == "":
		return end{addresses: []netip.Addr{addr}}, nil
	case isAddress:
		return end{}, wrongf("--%s %s: give the address without its zone", flagName, text)
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return end{}, wrongf("--%s %s: there are several pods of that name; give namespace/name", flagName, text)
	}
	slices.Sort(all)
	return end{}, wrongf("--%s %s: no pod of node %s; there are %s; give the address of a pod of another node", flagName, text, t.Node(), few(all))
}
