package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// toProbe isolates pods with the label app=web for egress. It allows connections
// only to pods with the label app=probe.
const toProbe = `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {app: probe}}}]}]}`

// The function `zoned` returns a link-local address with a zone. The zone is the index of the
// host's interface whose name is `link`.
func zoned(t *testing.T, h *lab.Host, address, link string) netip.Addr {
	t.Helper()
	var number int
	err := h.Do(func() error {
		l, err := netlink.LinkByName(link)
		if err == nil {
			number = l.Attrs().Index
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddr(address).WithZone(fmt.Sprint(number))
}

// linkLocal returns the link-local address of a pod.
func (s *fixture) linkLocal(pod string) (address string) {
	s.t.Helper()
	s.must(s.pod(pod).Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		all, err := netlink.AddrList(l, netlink.FAMILY_V6)
		for _, a := range all {
			if a.IP.IsLinkLocalUnicast() {
				address = a.IP.String()
			}
		}
		return err
	}))
	if address == "" {
		s.t.Fatalf("%s has no link-local address", pod)
	}
	return address
}

// The method `delivers` sends datagrams with the source address `src` and reports whether one of
// them reaches a server. It does not wait for a reply, because the server may be unable to send
// packets to this address.
func (s *fixture) delivers(from *lab.Host, src netip.Addr, dst netip.AddrPort, server *lab.Server) bool {
	s.t.Helper()
	conn, err := from.Dial(s.t.Context(), flow.UDP, src, dst)
	s.must(err)
	defer func() { _ = conn.Close() }()
	before := server.Served()
	again, deadline := time.NewTicker(denialTime/20), time.After(denialTime)
	defer again.Stop()
	for {
		_, _ = conn.Write([]byte("?")) // Ignore the error: it may be an ICMP error that quotes the previous packet.
		select {
		case <-again.C:
			if server.Served() != before {
				return true
			}
		case <-deadline:
			return false
		}
	}
}

// anywhere returns a server that listens on all addresses of a host.
func (s *fixture) anywhere(h *lab.Host, protocol flow.Protocol, port uint16) *lab.Server {
	s.t.Helper()
	return s.serverAt(h, protocol, netip.AddrPortFrom(netip.IPv6Unspecified(), port))
}

// wantLinkLocal checks whether pods can send packets from their link-local addresses to their
// node. The `reaches` parameter contains the names of the pods and the expected result for each
// pod.
func (s *fixture) wantLinkLocal(when string, reaches map[string]bool) {
	s.t.Helper()
	node := s.nodes["one"]
	tcp, udp := s.anywhere(node.Host, flow.TCP, 7), s.anywhere(node.Host, flow.UDP, 7)
	for pod, want := range reaches {
		for address, protocols := range map[string][]flow.Protocol{"fe80::1": {flow.TCP, flow.UDP, flow.ICMPv6}, "ff02::1": {flow.UDP}} {
			to := netip.AddrPortFrom(zoned(s.t, s.host(pod), address, "eth0"), 7)
			for _, protocol := range protocols {
				before := tcp.Served() + udp.Served()
				timeout := limit
				if !want {
					timeout = denialTime
				}
				src := zoned(s.t, s.host(pod), s.linkLocal(pod), "eth0")
				var got bool
				switch {
				case protocol == flow.ICMPv6:
					got = s.echoes(pod, to.Addr(), want)
				case protocol == flow.UDP:
					// Do not wait for a reply, because the reply may come from another
					// link-local address of the node.
					got = s.delivers(s.host(pod), src, to, udp)
				default:
					result, err := s.host(pod).Probe(s.t.Context(), protocol, src, to, timeout)
					s.must(err)
					got = result == lab.Connected
				}
				if got != want || !want && tcp.Served()+udp.Served() != before {
					s.t.Errorf("%s: %s reaches its node at %s by %s: %t, want %t", when, pod, address, protocol, got, want)
				}
			}
		}
	}
}

// The method `echoes` sends an echo request from a pod and reports whether the reply arrives. The
// `want` parameter is the expected result. If no reply is expected, the method waits only for
// denialTime.
func (s *fixture) echoes(pod string, to netip.Addr, want bool) bool {
	s.t.Helper()
	echo, err := s.host(pod).DialEcho(netip.Addr{}, to)
	s.must(err)
	defer func() { _ = echo.Close() }()
	timeout := limit
	if !want {
		timeout = denialTime
	}
	s.must(echo.SetDeadline(time.Now().Add(timeout)))
	return lab.Echo(echo, to, 56) == nil
}

// An egress-isolated pod cannot use its link-local address to send packets to its node. Only
// packets that the link itself needs, such as neighbor discovery, are accepted.
func TestLinkLocalSources(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/web": toProbe})
	s.wantLinkLocal("at first", map[string]bool{"shop/web": false, "shop/db": true})

	// The node can open a connection to the link-local address of the pod, and the pod can
	// reply.
	node := s.nodes["one"].Host
	for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
		s.anywhere(s.host("shop/web"), protocol, 9)
		to := netip.AddrPortFrom(zoned(t, node, s.linkLocal("shop/web"), s.pod("shop/web").Interface), 9)
		got, err := node.Probe(t.Context(), protocol, netip.Addr{}, to, limit)
		s.must(err)
		if got != lab.Connected {
			t.Errorf("the node's connection to the pod's link-local address by %s: %s", protocol, got)
		}
	}
	// Delete the neighbor entries of the hosts. Neighbor discovery must still work.
	for _, h := range []*lab.Host{node, s.host("shop/web"), s.host("lab/probe")} {
		s.forgetNeighbours(h)
	}
	s.want(`
		shop/web  -> lab/probe TCP 80 allowed
		shop/web  -> shop/db   TCP 80 denied
		node:one  -> shop/web  TCP 80 allowed
		node:one  -> shop/web  ICMP   allowed
		lab/far   -> shop/web  UDP 80 allowed
	`)

	s.set("shop/web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{}]}`)
	s.enforce()
	eventually.True(t, "the pod may send from any address", func() bool {
		return !strings.Contains(s.nft("", "list", "set", "inet", "sluice", "closed-links"), "elements")
	})
	s.wantLinkLocal("allowed everything", map[string]bool{"shop/web": true})

	s.remove("shop/web")
	s.set("shop/db", `{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress]}`)
	s.enforce()
	s.wantSoonLinks(s.pod("shop/db").Interface)
	s.wantLinkLocal("the other pod isolated", map[string]bool{"shop/web": true, "shop/db": false})
}

// wantSoonLinks waits until the set egress-links of table sluice contains only the interface
// with the given name. The node reaches its egress-isolated pods through this interface.
func (s *fixture) wantSoonLinks(name string) {
	s.t.Helper()
	want := fmt.Sprintf("elements = { %q }", name)
	eventually.True(s.t, "links: "+want, func() bool {
		return strings.Contains(s.nft("", "list", "set", "inet", "sluice", "egress-links"), want)
	})
}

// forged contains one address of each family. At first, no host has these addresses.
var forged = []netip.Addr{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::9")}

// takeAddresses adds addresses to the interface lo of a pod, so that the pod can use them as
// source addresses.
func (s *fixture) takeAddresses(pod string, addresses ...netip.Addr) {
	s.t.Helper()
	s.must(s.pod(pod).Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for _, a := range addresses {
			address, err := netlink.ParseAddr(netip.PrefixFrom(a, a.BitLen()).String())
			if err != nil {
				return err
			}
			address.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(lo, address); err != nil {
				return err
			}
		}
		return nil
	}))
}

// wantForged sends packets with the source addresses src. If the `want` parameter is true, these
// packets must arrive. Otherwise they must not arrive.
func (s *fixture) wantForged(when, from, to string, src []netip.Addr, want bool) {
	s.t.Helper()
	for _, a := range src {
		dst := netip.AddrPortFrom(s.address(to, a), 9)
		server := s.serverAt(s.host(to), flow.UDP, dst)
		if got := s.delivers(s.host(from), a, dst, server); got != want {
			s.t.Errorf("%s: %s as %s reaches %s: %t, want %t", when, from, a, to, got, want)
		}
	}
}

// An egress-isolated pod cannot send packets with the source address of another pod, even if no
// policy isolates the other pod.
func TestForgedSources(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/web": toProbe})
	s.takeAddresses("shop/web", append(s.pod("shop/db").Addresses(), forged...)...)
	s.takeAddresses("lab/probe", forged...)
	for _, to := range []string{"outside", "node:one", "lab/far"} {
		s.wantForged("isolated", "shop/web", to, forged, false)
		s.wantForged("isolated", "shop/web", to, s.pod("shop/db").Addresses(), false)
		s.wantForged("not isolated", "lab/probe", to, forged, true)
	}
	s.want(`
		shop/web -> lab/probe TCP 80 allowed
		shop/web -> outside   UDP 80 denied
		shop/db  -> outside   UDP 80 allowed
	`)
	// A pod may send packets with any source address that the node routes to the pod, even if
	// the tree does not contain this address.
	s.must(s.nodes["one"].Do(func() error {
		link, err := netlink.LinkByName(s.pod("shop/web").Interface)
		if err != nil {
			return err
		}
		for _, a := range forged {
			dst, err := netlink.ParseIPNet(netip.PrefixFrom(a, a.BitLen()).String())
			if err != nil {
				return err
			}
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}); err != nil {
				return err
			}
		}
		return nil
	}))
	s.wantForged("routed to the pod", "shop/web", "outside", forged, true)
}

// bridge connects the pods of node one to the bridge cni0. Many CNI plugins connect pods in the
// same way.
func (s *fixture) bridge() {
	s.t.Helper()
	s.must(s.nodes["one"].Do(func() error {
		// Set the address of the bridge, as CNI plugins do. Otherwise, the bridge has the lowest
		// address of its ports. When a port is removed, the address can then change, and the
		// other pods send frames to the old address until their ARP entries expire.
		cni := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "cni0", HardwareAddr: net.HardwareAddr{0x02, 0, 0, 0, 0, 1}}}
		if err := netlink.LinkAdd(cni); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(cni); err != nil {
			return err
		}
		for _, pod := range s.pods {
			link, err := netlink.LinkByName(pod.Interface)
			if elsewhere := (netlink.LinkNotFoundError{}); errors.As(err, &elsewhere) {
				continue
			}
			if err != nil {
				return err
			}
			if err := netlink.LinkSetMaster(link, cni); err != nil {
				return err
			}
			// Remove the gateway addresses from the link of the pod. The code below adds these
			// addresses and the pod routes to the bridge.
			for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
				addresses, err := netlink.AddrList(link, family)
				if err != nil {
					return err
				}
				for _, a := range addresses {
					if err := netlink.AddrDel(link, &a); err != nil {
						return err
					}
				}
			}
		}
		for _, text := range []string{"169.254.1.1/32", "10.244.1.1/24", "fe80::1/64", "fd00:10:244:1::1/64"} {
			a, err := netlink.ParseAddr(text)
			if err != nil {
				return err
			}
			a.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(cni, a); err != nil {
				return err
			}
		}
		for _, pod := range s.pods {
			for _, a := range pod.Addresses() {
				dst, err := netlink.ParseIPNet(netip.PrefixFrom(a, a.BitLen()).String())
				if err != nil {
					return err
				}
				if err := netlink.RouteDel(&netlink.Route{Dst: dst}); err != nil && !errors.Is(err, unix.ESRCH) {
					return err
				}
			}
		}
		return nil
	}))
	for _, h := range []*lab.Host{s.nodes["one"].Host, s.host("shop/web"), s.host("shop/old"), s.host("shop/db"), s.host("lab/probe")} {
		s.forgetNeighbours(h)
	}
}

// Pods on a bridge share one interface of the node. If a policy isolates a pod, the pod can
// send packets only with source addresses that are routed to the bridge. If no policy isolates
// the pod, it can send packets with any source address.
func TestForgedSourcesOnABridge(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{"shop/web": toProbe})
	s.bridge()
	s.start()
	s.wantSoonLinks("cni0")
	s.takeAddresses("shop/web", forged...)
	ordinary := `
		shop/web  -> lab/probe TCP 80 allowed
		shop/web  -> outside   UDP 80 denied
		shop/web  -> shop/db   TCP 80 denied
		shop/db   -> outside   UDP 80 allowed
		shop/db   -> lab/far   TCP 80 allowed
		shop/db   -> node:one  TCP 80 allowed
		lab/far   -> shop/web  TCP 80 allowed
		outside   -> shop/db   UDP 80 allowed
		node:one  -> shop/web  TCP 80 allowed
		node:one  -> shop/db   ICMP   allowed
	`
	s.want(ordinary)
	for _, to := range []string{"outside", "node:one", "lab/far"} {
		s.wantForged("on a bridge", "shop/web", to, forged, false)
	}
	s.wantLinkLocal("on a bridge with others", map[string]bool{"shop/db": true})

	s.set("shop/all", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {team: lab}}}]}]}`)
	s.set("lab/all", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}, {to: [{ipBlock: {cidr: 2000::/3}}, {ipBlock: {cidr: fd00::/8}}]}]}`)
	s.enforce()
	eventually.True(t, "the bridge has isolated pods alone", func() bool {
		return strings.Contains(s.nft("", "list", "set", "inet", "sluice", "closed-links"), "cni0")
	})
	s.wantLinkLocal("on a bridge of isolated pods", map[string]bool{"shop/db": false, "shop/web": false})
	s.want(`
		shop/web  -> lab/probe TCP 80 allowed
		lab/probe -> outside   UDP 80 allowed
		node:one  -> shop/db   TCP 80 allowed
	`)
}
