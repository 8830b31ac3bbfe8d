package policy

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Users who may change a Pod can write the annotations in which network plugins announce
// addresses. An announced address therefore counts only if it cannot belong to another pod
// or to a node. All of these conditions must hold:
//
//   - No sandbox has the address, and no pod has it in status.podIPs. If the sandboxes of
//     the pod's own node are known, announcements of pods on this node never count.
//   - The address is in a pod range of the pod's own node, and is not one of the first
//     two addresses of the range, which network plugins use for the node itself.
//   - No other pod of the node announces the address.
//   - Every other pod of the node has an address in its status, or announces one. Otherwise
//     the address could be the one that the other pod is about to receive.

// announcing returns the state of a pod whose object announces addresses. None of them
// counts before settleAnnounced.
func (s *Snapshot) announcing(p *TrackedPod, object *Pod) *Pod {
	s.announced[p] = object
	state := *object
	state.Addresses = nil
	return &state
}

// waits reports whether a pod in its current state is going to have an address that its
// status does not list yet.
func (s *Snapshot) waits(p *TrackedPod) bool {
	return p.Node != "" && p.selectable() && (len(p.Addresses) == 0 || s.announced[p] != nil)
}

// settleAnnounced determines which announced addresses of pods on a node count.
func (s *Snapshot) settleAnnounced(nodeName string) {
	n := s.nodes[nodeName]
	if n == nil || len(s.announced) == 0 {
		return
	}
	pods := slices.SortedFunc(maps.Keys(n.waiting), func(p, q *TrackedPod) int {
		return cmp.Or(cmp.Compare(p.Namespace, q.Namespace), cmp.Compare(p.Name, q.Name))
	})
	known := nodeName == s.sandboxes.node && s.sandboxes.available
	announcements := map[netip.Addr]int{}
	for _, p := range pods {
		object := s.announced[p]
		if object == nil {
			known = true
			break
		}
		for _, a := range object.Addresses {
			announcements[a]++
		}
	}
	for _, p := range pods {
		object := s.announced[p]
		if object == nil {
			continue
		}
		var counting []netip.Addr
		for _, a := range object.Addresses {
			if !known && announcements[a] == 1 && n.mayAssign(a) && !s.sandboxes.addresses[a] {
				counting = append(counting, a)
			}
		}
		if !slices.Equal(counting, p.Addresses) {
			s.detach(p)
			state := *object
			state.Addresses = counting
			p.Pod = &state
			s.attach(p)
		}
	}
}

// mayAssign reports whether an address can be assigned to a pod of the node: whether it
// is in a pod range of the node, after the first two addresses of the range.
func (n *node) mayAssign(a netip.Addr) bool {
	if n.object == nil || n.addresses[a] > 0 {
		return false
	}
	return slices.ContainsFunc(n.object.PodRanges, func(r netip.Prefix) bool {
		first := r.Masked().Addr()
		return r.Contains(a) && a != first && a != first.Next()
	})
}
