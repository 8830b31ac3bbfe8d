package policy

import "net/netip"

// UpsertNode sets a node's addresses.
func (s *Snapshot) UpsertNode(in Node) {
	n := s.node(in.Name)
	s.setNodeObject(n, &in)
}

// DeleteNode forgets a node's own addresses. Those that pods bound to it show
// stay as long as the pods.
func (s *Snapshot) DeleteNode(name string) {
	n := s.nodes[name]
	if n == nil || n.object == nil {
		return
	}
	s.setNodeObject(n, nil)
	s.dropNodeIfUnknown(n)
}

func (s *Snapshot) setNodeObject(n *node, object *Node) {
	old := n.object
	n.object = object
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

// eachNodeAddress calls f with every address that a pod shows to be its
// node's: the host's addresses, and its own when it has no other. A pod that is
// bound to no node shows none.
func (p *pod) eachNodeAddress(f func(netip.Addr)) {
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
		s.nodeAddressTouched(n, a)
	}
}

func (s *Snapshot) dropNodeAddress(n *node, a netip.Addr) {
	if n.addresses[a]--; n.addresses[a] == 0 {
		delete(n.addresses, a)
		s.nodeAddressTouched(n, a)
	}
}

func (s *Snapshot) nodeAddressTouched(n *node, a netip.Addr) {
	for _, f := range s.followers {
		if f.node == n.name {
			f.touchedAddrs = append(f.touchedAddrs, a)
		}
	}
}

func (s *Snapshot) node(name string) *node {
	n := s.nodes[name]
	if n == nil {
		n = &node{name: name, pods: map[*pod]struct{}{}, addresses: map[netip.Addr]int{}}
		s.nodes[name] = n
	}
	return n
}

func (s *Snapshot) dropNodeIfUnknown(n *node) {
	if n.object == nil && len(n.pods) == 0 {
		delete(s.nodes, n.name)
	}
}
