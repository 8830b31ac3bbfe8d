package e2e_test

import (
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// onlyProbe isolates shop/web in both directions. It allows only connections from lab/probe to
// TCP port 8080 of shop/web.
const onlyProbe = `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: probe}}}], ports: [{port: 8080}]}]}`

// When connection tracking loses its entry for an open connection, the node cannot determine
// which end opened this connection. The connection continues if policies allow at least one of
// the two ends to open it.
func TestAllowedConnectionsGoOnWithoutConnectionTracking(t *testing.T) {
	eachFamily(t, func(t *testing.T, like netip.Addr, deny string) {
		s := newFixture(t, map[string]string{
			"shop/web": onlyProbe,
			"shop/db":  `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], egress: [{ports: [{port: 8080}]}]}`,
		}, "--deny", deny)
		streams := []*stream{
			// The server sends most of the packets. So connection tracking will assume that the
			// server has opened the connection.
			s.open("lab/probe -> shop/web TCP 8080", like),
			s.open("shop/db -> outside TCP 8080", like),
			s.open("node:one -> shop/web TCP 8080", like),
		}
		for range 3 {
			s.must(s.nodes["one"].FlushConnections())
			s.each("after connection tracking was flushed", (*stream).goesOn, streams...)
		}
		s.set("shop/more", `{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`)
		s.enforce()
		s.each("under the next generation", (*stream).goesOn, streams...)
		s.remove("shop/more")
		s.set("shop/web", denyAll)
		s.enforce()
		s.each("under a generation that denies it", (*stream).isCut, streams[0])
		s.must(s.nodes["one"].FlushConnections())
		s.each("denied and flushed", (*stream).isCut, streams[0])
		s.each("of the node", (*stream).goesOn, streams[2])
	})
}

// A mid-stream packet, which does not open a connection, must not make new connections possible.
// The test uses a source and a destination between which policies deny connections. The
// connections must be denied both before and after the packet.
func TestMidStreamPacketsOpenNothing(t *testing.T) {
	t.Parallel()
	for _, like := range families {
		t.Run(familyName(like), func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, map[string]string{"shop/web": onlyProbe}, "--queues", "1")
			src := netip.AddrPortFrom(s.address("shop/web", like), 8080)
			dst := netip.AddrPortFrom(s.address("lab/probe", like), 40000)
			s.want(`shop/web -> lab/probe TCP 40000 denied`)
			server := s.serverAt(s.host("lab/probe"), 6, dst)

			// Send a packet that could be a reply: shop/web would send it if lab/probe had
			// opened the connection.
			s.sendMidStream(src, dst, lab.ACK, 1, 0)
			for range 2 {
				s.sendMidStream(src, dst, lab.SYN, 0, 1)
			}
			if n := server.Served(); n != 0 {
				t.Errorf("%d connections were opened", n)
			}
			// Here lab/probe has opened a connection, but connection tracking assumes that
			// shop/web has opened it. New connections from shop/web must still be denied.
			alive := s.open("lab/probe -> shop/web TCP 8080", like)
			s.must(s.nodes["one"].FlushConnections())
			s.each("flushed", (*stream).goesOn, alive)
			client := netip.MustParseAddrPort(alive.conn.LocalAddr().String())
			s.sendMidStream(src, client, lab.SYN, 0, 1)

			// Packets from port 8081 are dropped, because no policy allows lab/probe to connect
			// to this port.
			other := netip.AddrPortFrom(src.Addr(), 8081)
			s.sendMidStream(other, dst, lab.ACK, 0, 1)
			s.sendMidStream(other, dst, lab.SYN, 0, 1)
		})
	}
}

// sendMidStream sends a TCP packet from shop/web and waits until the dataplane has evaluated it.
// The packet must increase the counter of mid-stream packets by `midStream`, and the counter of
// denied packets by `denied`. Otherwise the test fails.
func (s *fixture) sendMidStream(src, dst netip.AddrPort, flags byte, midStream, denied uint64) {
	s.t.Helper()
	before := s.plane.status().Verdicts
	s.must(s.host("shop/web").SendTCP(src, dst, flags))
	eventually.True(s.t, "the packet is evaluated", func() bool { return s.plane.status().Verdicts.Packets > before.Packets })
	after := s.plane.status().Verdicts
	if after.MidStream-before.MidStream != midStream || after.Denied-before.Denied != denied {
		s.t.Errorf("flags %#x, %s -> %s: %d were mid-stream, %d denied; want %d and %d", flags, src, dst,
			after.MidStream-before.MidStream, after.Denied-before.Denied, midStream, denied)
	}
}
