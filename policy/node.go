package policy

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/policy/label"
)

// node contains the addresses of one node and the pods that are bound to this node.
type node struct {
	name   string
	object *Node
	pods   map[*TrackedPod]struct{}
	// waiting contains the pods of the node for which Snapshot.waits returns true.
	waiting map[*TrackedPod]struct{}
	// The `addresses` map contains the addresses of the node. The value is the number of times
	// that Node and Pod objects list the address for this node.
	addresses map[netip.Addr]int
}

// UpsertNode adds a node, or updates the addresses of a node that was added before.
func (s *Snapshot) UpsertNode(in Node) {
	s.setNodeObject(s.node(in.Name), &in)
	s.settleAnnounced(in.Name)
}

// DeleteNode removes a Node object. Pod objects can also list addresses for the node. Such an
// address belongs to the node until the last Pod object that lists it is deleted.
func (s *Snapshot) DeleteNode(name string) {
	n := s.nodes[name]
	if n == nil || n.object == nil {
		return
	}
	s.setNodeObject(n, nil)
	s.dropNodeIfEmpty(n)
	s.settleAnnounced(name)
}

// IsNodeAddress reports whether an address belongs to the node itself.
func (s *Snapshot) IsNodeAddress(nodeName string, a netip.Addr) bool {
	n := s.nodes[nodeName]
	return n != nil && n.addresses[a] > 0
}

func (s *Snapshot) setNodeObject(n *node, object *Node) {
	old := n.object
	n.object = object
	if old == nil || object == nil || old.Labels != object.Labels || !slices.Equal(old.Addresses, object.Addresses) {
		s.nodesChanged()
	}
	if object != nil {
		for _, a := range object.Addresses {
			s.addNodeAddress(n, a)
		}
	}
	if old != nil {
		for _, a := range old.Addresses {
			s.dropNodeAddress(n, a)
		}
	}
}

// eachNodeAddress calls the function f with every address that the Pod object lists for its
// node. These are the addresses in status.hostIPs and, if the pod is in the host network, the
// addresses of the pod. If the pod is not bound to a node, eachNodeAddress does not call f.
func (p *TrackedPod) eachNodeAddress(f func(netip.Addr)) {
	if p.Node == "" {
		return
	}
	for _, a := range p.HostAddresses {
		f(a)
	}
	if p.HostNetwork && !p.Finished {
		for _, a := range p.Addresses {
			f(a)
		}
	}
}

func (s *Snapshot) addNodeAddress(n *node, a netip.Addr) {
	if n.addresses[a]++; n.addresses[a] == 1 {
		s.nodeAddressChanged(n, a)
	}
}

func (s *Snapshot) dropNodeAddress(n *node, a netip.Addr) {
	if n.addresses[a]--; n.addresses[a] == 0 {
		delete(n.addresses, a)
		s.nodeAddressChanged(n, a)
	}
}

func (s *Snapshot) node(name string) *node {
	n := s.nodes[name]
	if n == nil {
		n = &node{name: name, pods: map[*TrackedPod]struct{}{}, waiting: map[*TrackedPod]struct{}{}, addresses: map[netip.Addr]int{}}
		s.nodes[name] = n
	}
	return n
}

func (s *Snapshot) dropNodeIfEmpty(n *node) {
	if n.object == nil && len(n.pods) == 0 {
		delete(s.nodes, n.name)
	}
}

// NodeAddresses returns an iterator over the addresses of all nodes whose labels match a selector.
// The addresses are those in the Node objects. An address can occur more than once.
func (s *Snapshot) NodeAddresses(selector label.Selector) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, n := range s.nodes {
			if n.object == nil || !selector.Matches(n.object.Labels) {
				continue
			}
			for _, a := range n.object.Addresses {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// nodeWith returns the Node object that lists an address, or nil.
func (s *Snapshot) nodeWith(a netip.Addr) *Node {
	for _, n := range s.nodes {
		if n.object != nil && slices.Contains(n.object.Addresses, a) {
			return n.object
		}
	}
	return nil
}
