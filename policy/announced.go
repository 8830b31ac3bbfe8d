package policy

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Network plugins announce the addresses of a pod in annotations of the Pod object. Every
// user who may change the Pod can write these annotations. A snapshot therefore treats an
// announced address as an address of the pod only if the address cannot belong to another
// pod or to a node. All of these conditions must hold:
//
//   - The sandboxes of the pod's node are not known. If they are known, the snapshot uses the
//     addresses of the sandboxes, and ignores announcements of pods on this node.
//   - No sandbox has the address, and no pod has it in status.podIPs.
//   - The address is in a pod range of the pod's node, and is not one of the first two
//     addresses of the range, which network plugins use for the node itself.
//   - No other pod of the node announces the address.
//   - Every other pod of the node has an address in its status, or announces an address.
//     Otherwise the announced address could be the one that the other pod is about to
//     receive.

// announcing records that the object of a pod announces addresses, and returns the state of
// the pod without these addresses. settleAnnounced adds the addresses to the pod later if
// they fulfil the conditions.
func (s *Snapshot) announcing(p *TrackedPod, object *Pod) *Pod {
	s.announced[p] = object
	state := *object
	state.Addresses = nil
	return &state
}

// waits reports whether a pod has no address in its status yet, but will receive one.
func (s *Snapshot) waits(p *TrackedPod) bool {
	return p.Node != "" && p.selectable() && (len(p.Addresses) == 0 || s.announced[p] != nil)
}

// settleAnnounced determines which announced addresses of the pods on a node fulfil the
// conditions, and updates the addresses of the pods.
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

// mayAssign reports whether an address can be assigned to a pod of the node. The address
// must be in a pod range of the node, must not be one of the first two addresses of the
// range, and must not be an address of the node.
func (n *node) mayAssign(a netip.Addr) bool {
	if n.object == nil || n.addresses[a] > 0 {
		return false
	}
	return slices.ContainsFunc(n.object.PodRanges, func(r netip.Prefix) bool {
		first := r.Masked().Addr()
		return r.Contains(a) && a != first && a != first.Next()
	})
}
