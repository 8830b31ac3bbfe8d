package policy

import (
	"cmp"
	"net/netip"
	"slices"
)

// Changes records which parts of a snapshot have changed since the last call of Clear. It
// records only parts that can affect the rules of one node. A list can contain the same entry
// twice, and can contain deleted objects. The lists are not sorted, except for the pods that
// Track adds to Pods.
type Changes struct {
	// Pods lists the pods of the node that were added, changed or deleted.
	Pods []*TrackedPod
	// Namespaces contains the namespaces for which a policy may have changed: a policy of the
	// namespace, or a cluster-scoped policy that can select its pods. It is a set and not a list,
	// because each change of a ClusterNetworkPolicy can add all namespaces.
	Namespaces map[*TrackedNamespace]struct{}
	// Cohorts lists the cohorts that appeared or disappeared. It also lists all cohorts of
	// a namespace if the labels of the namespace changed.
	Cohorts []*Cohort
	// Addresses lists the addresses whose owners may have changed.
	Addresses []netip.Addr
	// Nodes is true if the labels or the addresses of a Node object changed.
	Nodes bool

	snapshot *Snapshot
	node     string
}

// Track starts to record changes for a node. It initially lists the live pods of the node,
// the addresses of these pods, and the addresses of the node. The pods are sorted by the age
// of their cohorts, and the oldest cohort comes first. The caller must call Close.
func (s *Snapshot) Track(nodeName string) *Changes {
	c := &Changes{snapshot: s, node: nodeName, Namespaces: map[*TrackedNamespace]struct{}{}}
	if n := s.nodes[nodeName]; n != nil {
		for p := range n.pods {
			if p.live() {
				c.Pods = append(c.Pods, p)
				c.Addresses = append(c.Addresses, p.Addresses...)
			}
		}
		slices.SortFunc(c.Pods, byAge)
		for a := range n.addresses {
			c.Addresses = append(c.Addresses, a)
		}
	}
	s.tracking = append(s.tracking, c)
	return c
}

// Clear removes all entries from the lists.
func (c *Changes) Clear() {
	c.Namespaces = map[*TrackedNamespace]struct{}{}
	c.Pods, c.Cohorts, c.Addresses, c.Nodes = nil, nil, nil, false
}

// Close stops recording changes.
func (c *Changes) Close() {
	c.snapshot.tracking = slices.DeleteFunc(c.snapshot.tracking, func(o *Changes) bool { return o == c })
}

// byAge orders pods by the age of their cohorts. Pods of the same cohort are ordered by
// index.
func byAge(p, q *TrackedPod) int {
	return cmp.Or(cmp.Compare(p.cohort.number, q.cohort.number), cmp.Compare(p.index, q.index))
}

func (s *Snapshot) podChanged(p *TrackedPod) {
	for _, c := range s.tracking {
		if p.Node == c.node {
			c.Pods = append(c.Pods, p)
		}
		c.Addresses = append(c.Addresses, p.Addresses...)
	}
}

func (s *Snapshot) policiesChanged(ns *TrackedNamespace) {
	ns.sorted = nil
	for _, c := range s.tracking {
		c.Namespaces[ns] = struct{}{}
	}
}

func (s *Snapshot) cohortsChanged(cohorts ...*Cohort) {
	for _, c := range s.tracking {
		c.Cohorts = append(c.Cohorts, cohorts...)
	}
}

func (s *Snapshot) nodeAddressChanged(n *node, a netip.Addr) {
	for _, c := range s.tracking {
		if c.node == n.name {
			c.Addresses = append(c.Addresses, a)
		}
	}
}

func (s *Snapshot) nodesChanged() {
	for _, c := range s.tracking {
		c.Nodes = true
	}
}
