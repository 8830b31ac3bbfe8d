package lab

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// Lab is a network of hosts. Some of the hosts are nodes with pods.
type Lab struct {
	// Outside is the host outside of all nodes. It routes packets between the nodes. The method
	// AddAddress adds addresses to this host. The added addresses represent hosts outside the
	// cluster.
	Outside *Host
	nodes   []*Node
}

// New creates a lab without nodes. The outside host has the addresses 192.168.126.254 and
// fd00:192:168:126::fe, so that every host can exchange packets with the outside host. If this
// process is not allowed to create network namespaces, New returns ErrNotRoot.
func New() (*Lab, error) {
	outside, err := newHost("outside", true)
	if err != nil {
		return nil, err
	}
	l := &Lab{Outside: outside}
	if err := l.AddAddress(netip.MustParseAddr("192.168.126.254"), netip.MustParseAddr("fd00:192:168:126::fe")); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// AddAddress adds addresses to the outside host.
func (l *Lab) AddAddress(addresses ...netip.Addr) error {
	err := l.Outside.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("finding lo: %w", err)
		}
		return addAddresses(lo, netlink.SCOPE_UNIVERSE, hostPrefixes(addresses)...)
	})
	if err != nil {
		return err
	}
	l.Outside.addresses = append(l.Outside.addresses, addresses...)
	return nil
}

// Close removes the lab. If a process of the lab still uses a resource, the kernel removes this
// resource when the process ends.
func (l *Lab) Close() {
	for _, n := range l.nodes {
		n.close()
	}
	l.Outside.Close()
}

// Node is a host with pods.
type Node struct {
	*Host
	lab *Lab
	// port is the name of the interface through which the outside host reaches the node.
	port string
	// cidrs contains the ranges of the addresses that AddPod assigns to pods.
	cidrs []netip.Prefix
	next  []netip.Addr
	pods  []*Pod
}

// Pod is a host on a node.
type Pod struct {
	*Host
	// Interface is the name of the interface through which the node reaches the pod. It is one
	// end of a veth pair.
	Interface string
	routed    []netip.Prefix
}

// AddNode creates a node. If no addresses are given, node number N gets the addresses
// 192.168.126.N and fd00:192:168:126::N. The pods of node number N get addresses in
// 10.244.N.0/24 and fd00:10:244:N::/64.
func (l *Lab) AddNode(name string, addresses ...netip.Addr) (*Node, error) {
	number := len(l.nodes) + 1
	if number > 253 {
		return nil, fmt.Errorf("adding node %s: a lab has room for 253 nodes", name)
	}
	if len(addresses) == 0 {
		addresses = []netip.Addr{
			netip.AddrFrom4([4]byte{192, 168, 126, byte(number)}),
			netip.MustParseAddr(fmt.Sprintf("fd00:192:168:126::%d", number)),
		}
	}
	host, port, err := l.Outside.below(name, "node", nodeGateway, addresses)
	if err != nil {
		return nil, err
	}
	n := &Node{Host: host, lab: l, port: port, cidrs: []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(number), 0}), 24),
		netip.MustParsePrefix(fmt.Sprintf("fd00:10:244:%d::/64", number)),
	}}
	for _, c := range n.cidrs {
		n.next = append(n.next, first(c))
	}
	l.nodes = append(l.nodes, n)
	return n, n.fromOutside(n.cidrs)
}

// Port returns the name of the interface through which the outside host reaches the node.
func (n *Node) Port() string { return n.port }

// fromOutside adds routes to the outside host, so that this host sends packets for the given
// prefixes to the node.
func (n *Node) fromOutside(prefixes []netip.Prefix) error {
	for _, p := range prefixes {
		gateway, ok := n.Address(p.Addr())
		if !ok {
			continue
		}
		if err := n.lab.Outside.route(n.port, gateway, p); err != nil {
			return err
		}
	}
	return nil
}

// AddPod creates a pod on the node. If addresses are given, they need not be in the ranges of
// the node. Otherwise, the pod gets the next free address of each range, first IPv4 and then
// IPv6.
func (n *Node) AddPod(name string, addresses ...netip.Addr) (*Pod, error) {
	if len(addresses) == 0 {
		var err error
		if addresses, err = n.allocate(); err != nil {
			return nil, fmt.Errorf("adding pod %s: %w", name, err)
		}
	}
	host, port, err := n.below(name, "pod", podGateway, addresses)
	if err != nil {
		return nil, err
	}
	pod := &Pod{Host: host, Interface: port}
	for _, p := range hostPrefixes(addresses) {
		if !slices.ContainsFunc(n.cidrs, func(c netip.Prefix) bool { return c.Contains(p.Addr()) }) {
			pod.routed = append(pod.routed, p)
		}
	}
	if err := n.fromOutside(pod.routed); err != nil {
		host.Close()
		return nil, fmt.Errorf("adding pod %s: %w", name, err)
	}
	n.pods = append(n.pods, pod)
	return pod, nil
}

// allocate returns the next free address of each range. After the last address of a range, it
// continues with the first address.
func (n *Node) allocate() ([]netip.Addr, error) {
	var out []netip.Addr
	for i, c := range n.cidrs {
		a := n.next[i]
		for n.taken(a) {
			if a = following(c, a); a == n.next[i] {
				return nil, fmt.Errorf("no address is left in %s", c)
			}
		}
		n.next[i] = following(c, a)
		out = append(out, a)
	}
	return out, nil
}

// The function `first` returns the lowest pod address in a range. It skips the first address of
// the range, because most CNI plugins reserve this address for the gateway.
func first(c netip.Prefix) netip.Addr { return c.Addr().Next().Next() }

// The function `following` returns the address that follows the address a in a range. If a is the
// last address of the range, it returns the lowest pod address in the range.
func following(c netip.Prefix, a netip.Addr) netip.Addr {
	if next := a.Next(); c.Contains(next) {
		return next
	}
	return first(c)
}

func (n *Node) taken(a netip.Addr) bool {
	return slices.ContainsFunc(n.pods, func(p *Pod) bool { return slices.Contains(p.addresses, a) })
}

// RemovePod removes a pod. When it returns, the interface, the addresses and the routes of the
// pod no longer exist.
func (n *Node) RemovePod(pod *Pod) error {
	err := n.Do(func() error {
		link, err := netlink.LinkByName(pod.Interface)
		if err != nil {
			return fmt.Errorf("finding %s: %w", pod.Interface, err)
		}
		return netlink.LinkDel(link)
	})
	if err != nil {
		return fmt.Errorf("removing pod %s: %w", pod.name, err)
	}
	if err := n.lab.Outside.unroute(pod.routed); err != nil {
		return fmt.Errorf("removing pod %s: %w", pod.name, err)
	}
	pod.Close()
	n.pods = slices.DeleteFunc(n.pods, func(p *Pod) bool { return p == pod })
	return nil
}

func (n *Node) close() {
	for _, p := range n.pods {
		p.Close()
	}
	n.Host.Close()
}
