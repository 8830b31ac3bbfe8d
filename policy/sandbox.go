package policy

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"
)

// Sandbox is an attachment of a pod's sandbox to one network, as described by the CNI results
// on a node. The sandbox of a pod is the environment that the container runtime creates for
// the pod's containers. A pod with several networks has one Sandbox for each network.
type Sandbox struct {
	// Namespace, Name and UID identify the pod. For a static pod, UID equals the StaticUID of
	// the mirror pod.
	Namespace, Name, UID string
	// Interface is the name of the interface in the pod's network namespace.
	Interface string
	Addresses []netip.Addr
}

// clusterInterface is the name that container runtimes assign to the interface of the pod
// network. Interfaces for other networks have other names, such as net1.
const clusterInterface = "eth0"

// sandboxes contains the sandboxes of one node, and the state of the pods that have a
// sandbox.
type sandboxes struct {
	node string
	// available is true if the sandboxes of the node are known.
	available bool
	byPod     map[sandboxKey][]Sandbox
	// addresses contains the addresses of all sandboxes.
	addresses map[netip.Addr]bool
	// routed contains the pod addresses to which the node has a route through an interface that
	// leads to only one pod. If available is true, routed is not used.
	routed map[netip.Addr]bool
	// pods contains the pods of the node that have a sandbox with an address. If `available` is
	// false, it instead contains the pods that have an address in `routed`.
	pods map[*TrackedPod]*sandboxed
}

type sandboxKey struct{ namespace, name, uid string }

// sandboxed describes a pod whose state depends not only on its Pod object but also on its
// sandboxes.
type sandboxed struct {
	// object is the state of the Pod object. If gone is true, object is the last state.
	object *Pod
	// addresses contains the pod network addresses of the pod's sandboxes. If the sandboxes
	// of the node are not known, it contains the pod's addresses to which the node has a
	// route.
	addresses []netip.Addr
	// gone is true if the Pod object has been deleted, or replaced by the object of another
	// pod with the same name.
	gone bool
}

// SetSandboxes replaces the sandboxes of a node. If the list is nil, the sandboxes of the
// node are not known. A snapshot contains the sandboxes of at most one node.
//
// In addition to status.podIPs, a pod has the addresses of its sandboxes. While a pod has a
// sandbox, it stays live even if it has finished or its Pod object has been deleted. The
// snapshot then uses the last labels of the deleted object. If a pod has no sandbox when its
// object is deleted, the snapshot removes the pod.
func (s *Snapshot) SetSandboxes(nodeName string, list []Sandbox) {
	before, wasAvailable := s.sandboxes.byPod, s.sandboxes.available
	s.sandboxes.node, s.sandboxes.available = nodeName, list != nil
	s.sandboxes.byPod, s.sandboxes.addresses = map[sandboxKey][]Sandbox{}, map[netip.Addr]bool{}
	for _, b := range list {
		key := sandboxKey{orDefault(b.Namespace), b.Name, b.UID}
		s.sandboxes.byPod[key] = append(s.sandboxes.byPod[key], b)
		for _, a := range b.Addresses {
			s.sandboxes.addresses[a] = true
		}
	}
	keys := slices.AppendSeq(slices.Collect(maps.Keys(before)), maps.Keys(s.sandboxes.byPod))
	slices.SortFunc(keys, sandboxKey.compare)
	for _, key := range slices.Compact(keys) {
		if !slices.EqualFunc(before[key], s.sandboxes.byPod[key], Sandbox.equal) {
			s.sandboxChanged(key)
		}
	}
	if s.sandboxes.available != wasAvailable {
		s.routesChanged(func(a netip.Addr) bool { return s.sandboxes.routed[a] })
	}
	names := map[string]struct{}{}
	for p := range s.announced {
		names[p.Node] = struct{}{}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		s.settleAnnounced(name)
	}
}

// SetRouted replaces the addresses to which a node has a route through an interface that leads to
// only one pod. If the sandboxes of the node are not known, these routes show which pods still
// have a sandbox. While the node has a route to an address in a pod's status.podIPs, the pod stays
// live as if a sandbox had this address. The node must be the same as in calls of SetSandboxes.
func (s *Snapshot) SetRouted(nodeName string, addresses []netip.Addr) {
	before := s.sandboxes.routed
	s.sandboxes.node, s.sandboxes.routed = nodeName, make(map[netip.Addr]bool, len(addresses))
	for _, a := range addresses {
		s.sandboxes.routed[a] = true
	}
	if s.sandboxes.available {
		return
	}
	s.routesChanged(func(a netip.Addr) bool { return before[a] != s.sandboxes.routed[a] })
}

// routesChanged updates the state of the node's pods after routes of the node have changed. The
// `changed` parameter is a function that reports whether the route to an address has changed.
func (s *Snapshot) routesChanged(changed func(netip.Addr) bool) {
	for _, ns := range slices.Clone(s.order) {
		for _, pods := range []map[string]*TrackedPod{ns.pods, ns.gone} {
			for _, p := range pods {
				object := s.objectOf(p)
				if object.Node == s.sandboxes.node && slices.ContainsFunc(object.podIPs(), changed) {
					box := s.sandboxes.pods[p]
					s.update(p, object, box != nil && box.gone)
				}
			}
		}
		s.settle(ns)
	}
}

func (k sandboxKey) compare(o sandboxKey) int {
	return cmp.Or(cmp.Compare(k.namespace, o.namespace), cmp.Compare(k.name, o.name), cmp.Compare(k.uid, o.uid))
}

func (b Sandbox) equal(o Sandbox) bool {
	return b.Interface == o.Interface && slices.Equal(b.Addresses, o.Addresses)
}

// sandboxChanged updates the pod whose sandboxes changed. If the snapshot does not contain
// the pod, sandboxChanged does nothing.
func (s *Snapshot) sandboxChanged(key sandboxKey) {
	ns := s.namespaces[key.namespace]
	if ns == nil {
		return
	}
	if p := ns.gone[key.uid]; p != nil {
		s.update(p, s.objectOf(p), true)
	} else if p := ns.pods[key.name]; p != nil && s.objectOf(p).sandboxUID() == key.uid {
		s.update(p, s.objectOf(p), false)
	}
	s.settle(ns)
}

// LingeringPods returns the number of pods that are still live after their Pod objects have
// been deleted.
func (s *Snapshot) LingeringPods() int {
	n := 0
	for _, box := range s.sandboxes.pods {
		if box.gone {
			n++
		}
	}
	return n
}

// linger handles the deletion of a Pod object. If the pod has a sandbox, linger keeps it as a
// lingering pod and returns true. Otherwise linger does nothing and returns false.
func (s *Snapshot) linger(p *TrackedPod) bool {
	box := s.sandboxes.pods[p]
	if box == nil {
		return false
	}
	delete(p.ns.pods, p.Name)
	p.ns.gone[box.object.sandboxUID()] = p
	s.update(p, box.object, true)
	return true
}

// update replaces the state of a pod. The `gone` parameter is true if the Pod object has been
// deleted. In this case, update removes the pod if it has no sandbox.
func (s *Snapshot) update(p *TrackedPod, object *Pod, gone bool) {
	if p.Pod != nil {
		s.detach(p)
	}
	s.setState(p, object, gone)
	if gone && s.sandboxes.pods[p] == nil {
		delete(p.ns.gone, object.sandboxUID())
		delete(s.announced, p)
		return
	}
	s.attach(p)
}

// setState sets the state of a pod from its Pod object and its sandboxes.
func (s *Snapshot) setState(p *TrackedPod, object *Pod, gone bool) {
	delete(s.sandboxes.pods, p)
	delete(s.announced, p)
	addresses := s.sandboxAddresses(object)
	switch {
	case addresses == nil && object.Announced:
		p.Pod = s.announcing(p, object)
		return
	case addresses == nil:
		p.Pod = object
		return
	}
	s.sandboxes.pods[p] = &sandboxed{object: object, addresses: addresses, gone: gone}
	state := *object
	state.Finished, state.Announced = false, false
	state.Addresses = slices.Clone(addresses)
	switch {
	case gone:
		state.HostAddresses = nil
	case !object.Finished:
		for _, a := range object.podIPs() {
			if !slices.Contains(addresses, a) {
				state.Addresses = append(state.Addresses, a)
			}
		}
	}
	p.Pod = &state
}

// objectOf returns the state of the Pod object, which does not include the pod's sandboxes.
func (s *Snapshot) objectOf(p *TrackedPod) *Pod {
	if box := s.sandboxes.pods[p]; box != nil {
		return box.object
	}
	if object := s.announced[p]; object != nil {
		return object
	}
	return p.Pod
}

// PodObjects returns an iterator over the states of the Pod objects that are bound to a node. It
// omits pods whose Pod objects are gone. A state contains only information from the Pod object,
// and not the addresses of sandboxes. The caller must not modify the states.
func (s *Snapshot) PodObjects(nodeName string) iter.Seq[*Pod] {
	return func(yield func(*Pod) bool) {
		n := s.nodes[nodeName]
		if n == nil {
			return
		}
		for p := range n.pods {
			if box := s.sandboxes.pods[p]; box != nil && box.gone {
				continue
			}
			if !yield(s.objectOf(p)) {
				return
			}
		}
	}
}

// sandboxAddresses returns the pod network addresses of a pod's sandboxes, or nil if there
// are none. If the sandboxes of the node are not known, it returns the pod's addresses to
// which the node has a route.
func (s *Snapshot) sandboxAddresses(p *Pod) []netip.Addr {
	if p.HostNetwork || p.Node == "" || p.Node != s.sandboxes.node {
		return nil
	}
	if !s.sandboxes.available {
		return s.routedAddresses(p)
	}
	list := s.sandboxes.byPod[sandboxKey{p.Namespace, p.Name, p.sandboxUID()}]
	name := podNetworkInterface(list, p.podIPs())
	var out []netip.Addr
	for _, b := range list {
		if b.Interface != name {
			continue
		}
		for _, a := range b.Addresses {
			if a.IsGlobalUnicast() && !a.Is4In6() && a.Zone() == "" && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

func (s *Snapshot) routedAddresses(p *Pod) (out []netip.Addr) {
	for _, a := range p.podIPs() {
		if s.sandboxes.routed[a] {
			out = append(out, a)
		}
	}
	return out
}

// podNetworkInterface returns the name of the interface that attaches a pod to the pod
// network. This is the interface with an address from status.podIPs, or eth0 if no interface
// has such an address. The name is the same in all sandboxes of a pod. While the container
// runtime replaces a crashed sandbox, a pod has several sandboxes.
func podNetworkInterface(list []Sandbox, podIPs []netip.Addr) string {
	for _, b := range list {
		if slices.ContainsFunc(b.Addresses, func(a netip.Addr) bool { return slices.Contains(podIPs, a) }) {
			return b.Interface
		}
	}
	return clusterInterface
}

// podIPs returns the addresses in the pod's status.
func (p *Pod) podIPs() []netip.Addr {
	if p.Announced {
		return nil
	}
	return p.Addresses
}

// sandboxUID returns the UID that the container runtime uses for the pod.
func (p *Pod) sandboxUID() string { return cmp.Or(p.StaticUID, p.UID) }

// claim is the kind of a pod's claim to an address. A higher value takes precedence.
type claim int

const (
	// announcedClaim is the claim of a pod that announces the address in an annotation.
	announcedClaim claim = iota
	// lastingClaim is the claim of a pod that is live only because it has a sandbox.
	lastingClaim
	// statusClaim is the claim of a pod that has the address only in status.podIPs.
	statusClaim
	// sandboxClaim is the claim of a pod that has not finished and has a sandbox with the
	// address.
	sandboxClaim
)

func (s *Snapshot) claimTo(a netip.Addr, p *TrackedPod) claim {
	box := s.sandboxes.pods[p]
	switch {
	case s.announced[p] != nil:
		return announcedClaim
	case box == nil:
		return statusClaim
	case box.gone || box.object.Finished:
		return lastingClaim
	case slices.Contains(box.addresses, a):
		return sandboxClaim
	}
	return statusClaim
}
