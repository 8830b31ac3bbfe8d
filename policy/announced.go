package policy

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Network plugins announce the addresses of a pod in annotations of the Pod object. Every user who
// may change the Pod can write these annotations. Therefore, a snapshot treats an announced
// address as an address of the pod only if no other pod and no node can have the address. All of
// these conditions must hold:
//
//  - The sandboxes of the pod's node are not known. If they are known, the snapshot uses the
//    addresses of the sandboxes, and ignores announcements of pods on this node.
//  - No sandbox has the address, and no pod has the address in status.podIPs.
//  - The address is in a pod range of the pod's node, but is not one of the first two
//    addresses of the range. Network plugins use these two addresses for the node itself.
//  - No other pod of the node announces the address.
//  - Every other pod of the node has an address in its status or announces an address. If a
//    pod did neither, the announced address could belong to that pod.

// The method `announcing` records a Pod object that announces addresses, and returns a copy of the
// object without these addresses. If the addresses meet the conditions, settleAnnounced later adds
// them to the state of the pod.
func (s *Snapshot) announcing(p *TrackedPod, object *Pod) *Pod {
	s.announced[p] = object
	state := *object
	state.Addresses = nil
	return &state
}

// The method `waits` reports whether a pod will receive an address but has no address in its
// status yet.
func (s *Snapshot) waits(p *TrackedPod) bool {
	return p.Node != "" && p.selectable() && (len(p.Addresses) == 0 || s.announced[p] != nil)
}

// settleAnnounced determines which announced addresses of the node's pods meet the
// conditions, and updates the addresses of these pods.
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

// mayAssign reports whether the node can assign an address to a pod. The address must be in a
// pod range of the node. It must not be one of the first two addresses of the range, and must
// not belong to the node.
func (n *node) mayAssign(a netip.Addr) bool {
	if n.object == nil || n.addresses[a] > 0 {
		return false
	}
	return slices.ContainsFunc(n.object.PodRanges, func(r netip.Prefix) bool {
		first := r.Masked().Addr()
		return r.Contains(a) && a != first && a != first.Next()
	})
}
