package e2e_test

import (
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
)

// If a packet arrives in fragments, the dataplane evaluates the whole packet once.
func TestFragments(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{
		"shop/web": `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: probe}}}]}]}`,
	})
	for _, like := range families {
		to := s.address("shop/web", like)
		server := s.serverAt(s.host("shop/web"), flow.UDP, netip.AddrPortFrom(to, 9))
		for from, allowed := range map[string]bool{"lab/probe": true, "lab/far": false} {
			t.Run(fmt.Sprintf("%s %s", from, familyName(like)), func(t *testing.T) {
				echo, err := s.host(from).DialEcho(netip.Addr{}, to)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = echo.Close() }()
				conn, err := s.host(from).Dial(t.Context(), flow.UDP, netip.Addr{}, netip.AddrPortFrom(to, 9))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				before := server.Served()
				for _, c := range []interface{ SetDeadline(time.Time) error }{echo, conn} {
					if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
						t.Fatal(err)
					}
				}
				const size = 5000
				if err := lab.Echo(echo, to, size); (err == nil) != allowed {
					t.Errorf("an echo of %d bytes: %v, want it allowed: %v", size, err, allowed)
				}
				if _, err := conn.Write(make([]byte, size)); err != nil {
					t.Fatal(err)
				}
				n, err := io.ReadFull(conn, make([]byte, size))
				if (err == nil) != allowed {
					t.Errorf("a datagram of %d bytes: %d came back (%v), want it allowed: %v", size, n, err, allowed)
				}
				if reached := server.Served() > before; reached != allowed {
					t.Errorf("the server was reached: %v, want %v", reached, allowed)
				}
			})
		}
	}
}

// Ingress to a pod from the addresses of its own node is always allowed (S40). If another host
// sends packets with such a source address, these packets must not reach an isolated pod.
func TestS40ForgedNodeAddress(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/deny": denyAll})
	for _, from := range []string{"lab/probe", "shop/db", "outside"} {
		for _, like := range families {
			t.Run(from+" "+familyName(like), func(t *testing.T) {
				forged := s.address("node:one", like)
				s.must(s.host(from).Do(func() error {
					lo, err := netlink.LinkByName("lo")
					if err != nil {
						return err
					}
					a, err := netlink.ParseAddr(netip.PrefixFrom(forged, forged.BitLen()).String())
					if err != nil {
						return err
					}
					a.Flags = unix.IFA_F_NODAD
					return netlink.AddrAdd(lo, a)
				}))
				at := netip.AddrPortFrom(s.address("shop/web", like), 8080)
				server := s.serverAt(s.host("shop/web"), flow.UDP, at)
				for _, protocol := range []flow.Protocol{flow.UDP, flow.TCP} {
					if got, err := s.host(from).Probe(t.Context(), protocol, forged, at, silence); err != nil || got == lab.Connected {
						t.Errorf("%s: %s (%v), want no reply", protocol, got, err)
					}
				}
				if n := server.Served(); n != 0 {
					t.Errorf("%d packets reached the pod", n)
				}
			})
		}
	}
}
