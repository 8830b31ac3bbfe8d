package lab

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// podGateway is the default gateway of a pod. Its addresses belong to the pod's node. nodeGateway
// is the default gateway of a node. Its addresses belong to the outside host. The two gateways
// have different IPv4 addresses, because a node has links to its pods and a link to the outside
// host. If the addresses were the same, the node would receive ARP requests from one of its own
// addresses. A kernel does not reply to such requests.
var (
	podGateway  = gateway{netip.MustParsePrefix("169.254.1.1/32"), netip.MustParsePrefix("fe80::1/64")}
	nodeGateway = gateway{netip.MustParsePrefix("169.254.0.1/32"), netip.MustParsePrefix("fe80::1/64")}
)

// gateway contains the IPv4 address and the IPv6 address of a gateway.
type gateway [2]netip.Prefix

// uplink is the name of the interface that connects a host to the host above. The host above a pod
// is its node, and the host above a node is the outside host.
const uplink = "eth0"

// Host is a network namespace with addresses. It represents a node, a pod, or the outside host.
type Host struct {
	*Namespace
	addresses []netip.Addr
	// ports is the number of pods that a node has had, or of nodes that the outside host has
	// had. It includes hosts that have been removed.
	ports int

	mu      sync.Mutex
	servers []*Server
}

// Close stops the servers of the host and closes the network namespace.
func (h *Host) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.servers {
		s.Close()
	}
	h.servers = nil
	h.Namespace.Close()
}

// Addresses returns the addresses of the host.
func (h *Host) Addresses() []netip.Addr { return slices.Clone(h.addresses) }

// Address returns the first address of the host that has the same family as the `like` parameter.
// If the host has no such address, the second result is false.
func (h *Host) Address(like netip.Addr) (netip.Addr, bool) {
	for _, a := range h.addresses {
		if a.Is4() == like.Is4() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// settings contains the network settings of all hosts. A host can use new addresses
// immediately, replies to pings, and accepts packets with any source address.
var settings = [][2]string{
	{"net/ipv4/conf/all/rp_filter", "0"},
	{"net/ipv4/conf/default/rp_filter", "0"},
	{"net/ipv6/conf/all/disable_ipv6", "0"},
	{"net/ipv6/conf/default/disable_ipv6", "0"},
	{"net/ipv6/conf/all/accept_dad", "0"},
	{"net/ipv6/conf/default/accept_dad", "0"},
	{"net/ipv6/conf/default/accept_ra", "0"},
	{"net/ipv4/ping_group_range", "0 2147483647"},
	// Send ICMP errors without a rate limit.
	{"net/ipv4/icmp_ratelimit", "0"},
	{"net/ipv6/icmp/ratelimit", "0"},
}

var forwarding = [][2]string{
	{"net/ipv4/ip_forward", "1"},
	{"net/ipv6/conf/all/forwarding", "1"},
	{"net/ipv6/conf/default/forwarding", "1"},
}

// newHost creates a host without links. If the `routes` parameter is true, the host forwards
// packets.
func newHost(name string, routes bool) (*Host, error) {
	ns, err := newNamespace(name)
	if err != nil {
		return nil, err
	}
	h := &Host{Namespace: ns}
	if err := h.Do(func() error { return setUp(routes) }); err != nil {
		h.Close()
		return nil, fmt.Errorf("setting up %s: %w", name, err)
	}
	return h, nil
}

func setUp(routes bool) error {
	values := settings
	if routes {
		values = slices.Concat(settings, forwarding)
	}
	for _, v := range values {
		if err := sysctl(v[0], v[1]); err != nil {
			return err
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding lo: %w", err)
	}
	return netlink.LinkSetUp(lo)
}

// below creates a host that is connected to h: a pod if h is a node, or a node if h is the outside
// host. It creates the namespace of the new host, a veth pair, the addresses of the new host, and
// the routes between both hosts. The second result, `port`, is the name of the interface in h. This
// name consists of the `kind` parameter and a number, such as pod-1.
func (h *Host) below(name, kind string, by gateway, addresses []netip.Addr) (child *Host, port string, err error) {
	child, err = newHost(name, by == nodeGateway)
	if err != nil {
		return nil, "", err
	}
	h.ports++
	port = fmt.Sprintf("%s-%d", kind, h.ports)
	child.addresses = slices.Clone(addresses)
	err = h.Do(func() error { return plug(port, firstPort+h.ports, child.fd, by) })
	if err == nil {
		err = child.Do(func() error { return configure(addresses, by) })
	}
	if err == nil {
		err = h.route(port, netip.Addr{}, hostPrefixes(addresses)...)
	}
	if err != nil {
		child.Close()
		return nil, "", fmt.Errorf("connecting %s to %s: %w", name, h.name, err)
	}
	return child, port, nil
}

// firstPort is the interface index of the first port. A port is the interface of a veth pair in
// the upper host. The value is so large that ports and uplinks never have the same index. If
// both interfaces of a veth pair had the same index, the kernel would treat them as one
// interface, and might delay the carrier by up to a second (linkwatch_urgent_event in
// net/core/link_watch.c). Without a carrier, the IPv6 addresses of the interface do not work.
const firstPort = 100

// plug creates the veth pair between two hosts. The caller must run it in the upper host.
func plug(port string, index, childFD int, by gateway) error {
	link := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: port, Index: index},
		PeerName:      uplink,
		PeerNamespace: netlink.NsFd(childFD),
	}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("adding veth %s: %w", port, err)
	}
	if err := addAddresses(link, netlink.SCOPE_LINK, by[:]...); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", port, err)
	}
	return nil
}

// configure adds the addresses and the default routes to the uplink. The caller must run it in
// the lower host.
func configure(addresses []netip.Addr, by gateway) error {
	link, err := netlink.LinkByName(uplink)
	if err != nil {
		return fmt.Errorf("finding %s: %w", uplink, err)
	}
	if err := addAddresses(link, netlink.SCOPE_UNIVERSE, hostPrefixes(addresses)...); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", uplink, err)
	}
	for _, via := range by {
		i := slices.IndexFunc(addresses, func(a netip.Addr) bool { return a.Is4() == via.Addr().Is4() })
		if i < 0 {
			continue
		}
		err := netlink.RouteAdd(&netlink.Route{
			LinkIndex: link.Attrs().Index,
			Dst:       ipNet(netip.PrefixFrom(unspecified(via.Addr()), 0)),
			Gw:        via.Addr().AsSlice(),
			Src:       addresses[i].AsSlice(),
			Flags:     unix.RTNH_F_ONLINK,
		})
		if err != nil {
			return fmt.Errorf("routing by %s: %w", via.Addr(), err)
		}
	}
	return nil
}

// route adds a route for each prefix. Packets to these prefixes leave the host on the interface
// named by `port`. If the `gateway` parameter is valid, it is the next hop of the routes. For
// packets that the host itself sends over these routes, the default source address is the first
// address of the host.
func (h *Host) route(port string, gateway netip.Addr, to ...netip.Prefix) error {
	return h.Do(func() error {
		link, err := netlink.LinkByName(port)
		if err != nil {
			return fmt.Errorf("finding %s: %w", port, err)
		}
		for _, p := range to {
			r := netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(p)}
			if gateway.IsValid() {
				r.Gw, r.Flags = gateway.AsSlice(), unix.RTNH_F_ONLINK
			} else {
				r.Scope = netlink.SCOPE_LINK
			}
			if src, ok := h.Address(p.Addr()); ok {
				r.Src = src.AsSlice()
			}
			if err := netlink.RouteAdd(&r); err != nil {
				return fmt.Errorf("routing %s through %s: %w", p, port, err)
			}
		}
		return nil
	})
}

// addAddresses adds addresses to an interface. It disables duplicate address detection, so that
// IPv6 addresses can be used immediately. If `scope` is netlink.SCOPE_LINK, the kernel never uses
// the IPv4 addresses as source addresses of packets on other interfaces.
func addAddresses(link netlink.Link, scope netlink.Scope, prefixes ...netip.Prefix) error {
	for _, p := range prefixes {
		addr := &netlink.Addr{IPNet: ipNet(p), Scope: int(scope)}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("adding address %s to %s: %w", p, link.Attrs().Name, err)
		}
	}
	return nil
}

func hostPrefixes(addresses []netip.Addr) []netip.Prefix {
	out := make([]netip.Prefix, len(addresses))
	for i, a := range addresses {
		out[i] = netip.PrefixFrom(a, a.BitLen())
	}
	return out
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// unroute removes the routes to the given prefixes.
func (h *Host) unroute(to []netip.Prefix) error {
	return h.Do(func() error {
		for _, p := range to {
			if err := netlink.RouteDel(&netlink.Route{Dst: ipNet(p)}); err != nil {
				return fmt.Errorf("removing the route to %s: %w", p, err)
			}
		}
		return nil
	})
}
