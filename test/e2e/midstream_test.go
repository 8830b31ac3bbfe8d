package e2e_test

import (
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// onlyProbe isolates shop/web in both directions but for what lab/probe opens.
const onlyProbe = `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: probe}}}], ports: [{port: 8080}]}]}`

// When connection tracking has lost its table, what is allowed in either
// orientation goes on.
func TestMidStreamAllowedGoesOn(t *testing.T) {
	eachFamily(t, func(t *testing.T, like netip.Addr, deny string) {
		s := newSetup(t, map[string]string{
			"shop/web": onlyProbe,
			"shop/db":  `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], egress: [{ports: [{port: 8080}]}]}`,
		}, "--deny", deny)
		streams := []*stream{
			// The server sends most packets: connection tracking will take it for the
			// one who opened the connection.
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
		s.each("under a generation that refuses it", (*stream).isCut, streams[0])
		s.must(s.nodes["one"].FlushConnections())
		s.each("refused and flushed", (*stream).isCut, streams[0])
		s.each("of the node", (*stream).goesOn, streams[2])
	})
}

// A packet in mid-stream opens nothing: neither before nor after it can the
// refused orientation be opened with the same ports.
func TestMidStreamOpensNothing(t *testing.T) {
	t.Parallel()
	for _, like := range families {
		t.Run(familyName(like), func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, map[string]string{"shop/web": onlyProbe}, "--queues", "1")
			src := netip.AddrPortFrom(s.address("shop/web", like), 8080)
			dst := netip.AddrPortFrom(s.address("lab/probe", like), 40000)
			s.want(`shop/web -> lab/probe TCP 40000 denied`)
			server := s.serverAt(s.host("lab/probe"), 6, dst)

			// What web could send as an answer, had probe opened this.
			s.sends(src, dst, lab.ACK, 1, 0)
			for range 2 {
				s.sends(src, dst, lab.SYN, 0, 1)
			}
			if n := server.Served(); n != 0 {
				t.Errorf("%d connections were opened", n)
			}
			// Nor while a connection lives that probe opened, and that connection
			// tracking takes for one that web opened.
			alive := s.open("lab/probe -> shop/web TCP 8080", like)
			s.must(s.nodes["one"].FlushConnections())
			s.each("flushed", (*stream).goesOn, alive)
			client := netip.MustParseAddrPort(alive.conn.LocalAddr().String())
			s.sends(src, client, lab.SYN, 0, 1)

			// Of ports that probe could not have opened, nothing passes at all.
			other := netip.AddrPortFrom(src.Addr(), 8081)
			s.sends(other, dst, lab.ACK, 0, 1)
			s.sends(other, dst, lab.SYN, 0, 1)
		})
	}
}

// sends lets shop/web send a TCP packet that has to be judged, and looks how often it was
// taken for the middle of a stream and how often it was refused.
func (s *setup) sends(src, dst netip.AddrPort, flags byte, midStream, refused uint64) {
	s.t.Helper()
	before := s.plane.status().Verdicts
	s.must(s.host("shop/web").SendTCP(src, dst, flags))
	eventually.True(s.t, "the packet is judged", func() bool { return s.plane.status().Verdicts.Packets > before.Packets })
	after := s.plane.status().Verdicts
	if after.MidStream-before.MidStream != midStream || after.Denied-before.Denied != refused {
		s.t.Errorf("flags %#x, %s -> %s: %d were mid-stream, %d refused; want %d and %d", flags, src, dst,
			after.MidStream-before.MidStream, after.Denied-before.Denied, midStream, refused)
	}
}
