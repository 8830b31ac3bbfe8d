package e2e_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// An ICMP error is accepted if it quotes a packet of an allowed flow, even if no rule allows
// ICMP (S36).
func TestS36ErrorsOfAllowedFlows(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{
		"lab/probe": `{podSelector: {matchLabels: {app: probe}}, policyTypes: [Ingress, Egress], egress: [{ports: [{port: 9, protocol: UDP}]}]}`,
		"shop/web":  `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: 9, protocol: UDP}]}]}`,
	}, "--deny", "Drop")
	for _, like := range families {
		t.Run("port unreachable "+familyName(like), func(t *testing.T) {
			conn := s.datagrams(t, "lab/probe", "shop/web", like)
			if _, err := conn.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("reading from a closed port: %v, want %v", err, unix.ECONNREFUSED)
			}
		})
		t.Run("packet too big "+familyName(like), func(t *testing.T) {
			// Set a smaller MTU on the link between the outside host and node two than on the link
			// of the pod. Then a packet can fit the pod's link but not the link to node two.
			s.must(s.lab.Outside.Do(func() error {
				link, err := netlink.LinkByName("node-2")
				if err != nil {
					return err
				}
				return netlink.LinkSetMTU(link, 1300)
			}))
			conn := s.datagrams(t, "lab/probe", "lab/far", like)
			s.serverAt(s.host("lab/far"), flow.UDP, netip.AddrPortFrom(s.address("lab/far", like), 9))
			eventually.True(t, "the pod gets the error that its packet is too big", func() bool {
				_, err := conn.Write(make([]byte, 1400))
				return errors.Is(err, unix.EMSGSIZE)
			})
			// Retry the write: it can still fail because of an ICMP error that quotes an
			// earlier packet.
			eventually.True(t, "a packet that fits is sent", func() bool {
				_, err := conn.Write(make([]byte, 1200))
				return err == nil
			})
			if n, err := conn.Read(make([]byte, 1500)); n != 1200 {
				t.Errorf("a packet that fits: %d bytes came back (%v)", n, err)
			}
		})
	}
}

// An ICMP error quotes a packet. The error is accepted only from the destination of the quoted
// packet. Otherwise an isolated pod could forge ICMP errors about any connection on the node. With
// these errors, the pod could send packets to both ends of the connection and make both ends close
// the connection.
func TestS36ErrorsOfOthersFlows(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{
		"shop/web": `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: 9, protocol: UDP}]}]}`,
		"shop/db":  `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{}]}`,
	}, "--deny", "Drop")
	s.serve(`
		web     UDP 80 -> shop/web 9
		nodeweb UDP 80 -> shop/web 9 masquerade
	`)
	s.takeAddresses("shop/web", s.pod("lab/probe").Addresses()...)
	about := func(when string, want bool) {
		t.Helper()
		for _, like := range families {
			for _, to := range []string{"node:one", "shop/db", "lab/probe"} {
				at := netip.AddrPortFrom(s.address(to, like), 9)
				s.serverAt(s.host(to), flow.UDP, at)
				for _, from := range []string{"shop/web", "lab/probe"} {
					conn := s.datagrams(t, "outside", to, like)
					s.must(echo(conn))
					client := netip.MustParseAddrPort(conn.LocalAddr().String())
					s.must(s.host("shop/web").SendUnreachable(s.address(from, like), client, at))
					s.must(conn.SetDeadline(time.Now().Add(silence)))
					_, err := conn.Read(make([]byte, 1))
					heard := errors.Is(err, unix.ECONNREFUSED)
					if want := want && from == "shop/web"; heard != want {
						t.Errorf("%s: outside got an error from shop/web, as %s, about its flow to %s: %t, want %t", when, from, at, heard, want)
					}
					if err := echo(conn); err != nil {
						t.Errorf("%s: the flow to %s afterwards: %v", when, at, err)
					}
				}
			}
		}
	}
	own := func() {
		t.Helper()
		for _, like := range families {
			for from, to := range map[string]netip.AddrPort{
				"node:one": netip.AddrPortFrom(s.address("shop/web", like), 9),
				"shop/db":  s.services["web"+like.String()].Address,
				"outside":  s.services["nodeweb"+like.String()].Address,
			} {
				conn, err := s.host(from).Dial(t.Context(), flow.UDP, netip.Addr{}, to)
				s.must(err)
				if err := echo(conn); !errors.Is(err, unix.ECONNREFUSED) {
					t.Errorf("%s at a closed port of shop/web, %s: %v, want %v", from, to, err, unix.ECONNREFUSED)
				}
				s.must(conn.Close())
			}
		}
	}
	about("isolated", false)
	own()
	// A pod that may send packets of all protocols may also send ICMP errors.
	s.set("shop/more", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: "::/0"}}]}]}`)
	s.enforce()
	about("allowed", true)
	own()
}

// echo sends a datagram and waits until the server has returned the datagram.
func echo(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1<<10))
	return err
}

// The method `datagrams` opens a UDP socket and connects it to port 9 of a destination. The kernel
// does not fragment the datagrams of this socket.
func (s *fixture) datagrams(t *testing.T, from, to string, like netip.Addr) net.Conn {
	t.Helper()
	conn, err := s.host(from).Dial(t.Context(), flow.UDP, netip.Addr{}, netip.AddrPortFrom(s.address(to, like), 9))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if like.Is4() {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		} else {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
		}
	})
	if err := errors.Join(err, failed, conn.SetDeadline(time.Now().Add(limit))); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Neighbor discovery is always accepted (S36). Otherwise no host, not even the pod's own node,
// could reach an isolated pod over IPv6.
func TestS36NeighbourDiscovery(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{
		"shop/deny": denyAll,
		"shop/web":  `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: 1}]}], egress: [{ports: [{port: 1}]}]}`,
	}, "--deny", "Drop")
	for range 3 {
		for _, name := range []string{"shop/web", "shop/db", "lab/probe"} {
			s.forgetNeighbours(s.host(name))
		}
		s.forgetNeighbours(s.host("node:one"))
		s.want(`
			shop/web  -> lab/probe TCP 1 allowed
			lab/probe -> shop/web  TCP 1 allowed
			node:one  -> shop/db   TCP 1 allowed
			node:one  -> shop/db   UDP 1 allowed
		`)
	}
	s.want(`
		lab/probe -> shop/db ICMP denied
		shop/db   -> outside ICMP denied
	`)
}

// forgetNeighbours deletes all entries from the neighbor tables of a host.
func (s *fixture) forgetNeighbours(host *lab.Host) {
	s.t.Helper()
	s.must(host.Do(func() error {
		all, err := netlink.NeighList(0, unix.AF_UNSPEC)
		if err != nil {
			return err
		}
		for _, n := range all {
			if err := netlink.NeighDel(&n); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		return nil
	}))
}
