package hold

import (
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/report"
)

// Links contains the interfaces of the node, by index. An interface that was created after the
// interfaces were read is not in the map.
type Links map[uint32]link.Interface

// linksOf returns a map of the interfaces by index.
func linksOf(interfaces []link.Interface) Links {
	out := make(Links, len(interfaces))
	for _, i := range interfaces {
		out[i.Index] = i
	}
	return out
}

// node contains the addresses and interfaces of the node's pods.
type node struct {
	// known contains the name of each pod in the tree in use, by address. It is nil before the
	// first tree.
	known map[netip.Addr]string
	links Links
	// read is set after the first attempt to read the CNI results.
	read bool
	// available reports whether the node has CNI results. If available is set, sandboxes
	// contains the addresses that the CNI results name, and hostInterfaces contains the names
	// of the pods' interfaces on the node.
	available      bool
	sandboxes      map[netip.Addr]attachment
	hostInterfaces map[string]struct{}
	// agentGone is set if no agent is running.
	agentGone bool
}

// attachment is the pod that has an address according to the CNI results.
type attachment struct {
	// pod is "namespace/name".
	pod string
	// first is set if the address belongs to the first network of the pod, which is the
	// network of the cluster.
	first bool
}

// firstInterface is the name of the interface that container runtimes give to the first
// network of each pod.
const firstInterface = "eth0"

// setSandboxes replaces the sandboxes of the node.
func (n *node) setSandboxes(s report.Sandboxes) {
	n.read, n.available = true, s.Available
	n.sandboxes, n.hostInterfaces = map[netip.Addr]attachment{}, map[string]struct{}{}
	for _, sandbox := range s.Sandboxes {
		if sandbox.HostInterface != "" {
			n.hostInterfaces[sandbox.HostInterface] = struct{}{}
		}
		a := attachment{pod: sandbox.Namespace + "/" + sandbox.Name, first: sandbox.Interface == firstInterface}
		for _, address := range sandbox.Addresses {
			// If several networks contain the address, use a pod whose first network contains it.
			if have, ok := n.sandboxes[address]; !ok || a.first && !have.first {
				n.sandboxes[address] = a
			}
		}
	}
}

// disputed returns the addresses in the `pods` map that belong to another pod according to the CNI
// results.
func (n *node) disputed(pods map[netip.Addr]string) []netip.Addr {
	var out []netip.Addr
	for a, owner := range n.sandboxes {
		if pod, ok := pods[a]; ok && owner.first && owner.pod != pod {
			out = append(out, a)
		}
	}
	return out
}

// isKnown reports whether the tree in use contains the pod with address a. It returns false if
// the CNI results assign the address to another pod.
func (n *node) isKnown(a netip.Addr) bool {
	pod, ok := n.known[a]
	if !ok {
		return false
	}
	owner, named := n.sandboxes[a]
	return !named || !owner.first || owner.pod == pod
}

// canLearn reports whether the table may record an interface as one that leads to no pod. It
// returns false if the interface does not exist, is already an uplink, or leads to a pod. The pod
// can be in the tree in use or in the CNI results.
func (n *node) canLearn(index uint32) bool {
	l, ok := n.links[index]
	if !ok || l.Uplink || l.ToPod {
		return false
	}
	if _, ofSandbox := n.hostInterfaces[l.Name]; ofSandbox {
		return false
	}
	for a, owner := range n.sandboxes {
		if owner.first && slices.ContainsFunc(l.Networks, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return false
		}
	}
	return true
}
