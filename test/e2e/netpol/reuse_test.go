package netpol_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/test/labcluster"
)

const (
	// replyTime is the time within which a reply must arrive.
	replyTime = 5 * time.Second
	// requestInterval is the time between two requests.
	requestInterval = 20 * time.Millisecond
	// silence is a number of consecutive requests. If none of these requests gets a reply, the
	// connection counts as cut.
	silence = 15
)

// dialUDP opens a UDP socket that sends from the given port of a pod to port 80 of an address.
// If another socket with the same addresses and ports replaces this socket, conntrack regards
// the packets of both sockets as the same flow.
func (s *fixture) dialUDP(from string, port uint16, to netip.Addr) *net.UDPConn {
	s.Helper()
	end := s.end(from)
	src, _ := end.Host.Address(to)
	var conn *net.UDPConn
	s.must(end.Host.Do(func() (err error) {
		conn, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, port)), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 80)))
		return err
	}))
	s.Cleanup(func() { _ = conn.Close() }) // Ignore the error: closing can fail if the pod was deleted.
	return conn
}

// The function `replied` sends one request and reports whether a reply arrived. The reply may be
// the reply to an earlier request.
func replied(conn *net.UDPConn) bool {
	if conn.SetReadDeadline(time.Now().Add(requestInterval)) != nil {
		return false
	}
	_, errWrite := conn.Write([]byte("?"))
	buf := make([]byte, 16)
	_, errRead := conn.Read(buf)
	if errWrite != nil || errRead != nil {
		wait(requestInterval) // Wait, because Read returns before the deadline if the request is rejected.
		return false
	}
	return true
}

// goesOn fails the test unless a connection gets a reply within replyTime.
func (s *fixture) goesOn(what string, conn *net.UDPConn) {
	s.Helper()
	for began := time.Now(); !replied(conn); {
		if time.Since(began) > replyTime {
			s.Fatalf("%s: no reply within %s", what, replyTime)
		}
	}
}

// isCut fails the test if a connection still gets replies. It ignores a reply that the server
// sent before isCut was called.
func (s *fixture) isCut(what string, conn *net.UDPConn) {
	s.Helper()
	// Discard a reply that was already on its way.
	replied(conn)
	for n := range silence {
		if replied(conn) {
			s.Fatalf("%s: request %d got a reply", what, n)
		}
	}
}

// TestAddressReusedByOpenConnections deletes a pod that has open connections in both
// directions. Another pod with the same address continues these connections, with the same
// ports. Verdicts for the connections must depend on the labels of the new pod (S53). When
// these labels change and policies allow the connections again, the connections must continue
// (S51).
func TestAddressReusedByOpenConnections(t *testing.T) {
	s := newFixture(t, theCluster, udp80)
	s.apply("x/in", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}]}]}`)
	s.apply("x/sealed", `{podSelector: {matchLabels: {role: stranger}}, policyTypes: [Ingress]}`)
	s.label("x/b", "role", "friend")
	s.holds("x/b -> x/a allowed", "x/c -> x/a denied", "x/c -> x/b allowed")
	old := s.pod("x/b")
	addresses := s.end("x/b").Addresses
	type connection struct {
		name     string
		port     uint16
		out, in  *net.UDPConn
		from, to netip.Addr
	}
	var connections []*connection
	for i, family := range []string{"4", "6"} {
		c := &connection{name: "IPv" + family, port: uint16(42000 + i), from: s.address("x/b", family), to: s.address("x/a", family)}
		c.out, c.in = s.dialUDP("x/b", c.port, c.to), s.dialUDP("x/c", c.port, c.from)
		s.goesOn(c.name+" from the old pod", c.out)
		s.goesOn(c.name+" to the old pod", c.in)
		connections = append(connections, c)
	}

	s.must(s.cluster.Client().Delete(t.Context(), old))
	s.createPod("x/heir", func(p *corev1.Pod) {
		p.Spec.NodeName = old.Spec.NodeName
		p.Annotations = map[string]string{labcluster.AddressAnnotation: addresses[0].String() + "," + addresses[1].String()}
		p.Labels["role"] = "stranger"
	})
	s.must(s.cluster.WaitGone(t.Context(), old))
	s.must(s.cluster.WaitRunning(t.Context(), s.namespace("x")))
	s.must(s.cluster.WaitEnforced(t.Context()))
	for _, c := range connections {
		if got := s.address("x/heir", c.name[len(c.name)-1:]); got != c.from {
			t.Fatalf("the heir has %s, want %s", got, c.from)
		}
		c.out = s.dialUDP("x/heir", c.port, c.to)
		s.isCut(c.name+" from a stranger", c.out)
		s.isCut(c.name+" to a stranger", c.in)
	}
	s.check("x/heir -> x/a denied", "x/c -> x/heir denied")

	s.label("x/heir", "role", "friend")
	s.must(s.cluster.WaitEnforced(t.Context()))
	for _, c := range connections {
		s.goesOn(c.name+" from a friend", c.out)
		s.goesOn(c.name+" to a friend", c.in)
	}
	s.check("x/heir -> x/a allowed", "x/c -> x/heir allowed")
}
