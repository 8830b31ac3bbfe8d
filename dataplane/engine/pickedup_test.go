package engine_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/lab"
)

// lostConnection is an open TCP connection whose conntrack entry was deleted. Connection
// tracking has picked the connection up again from a packet of the server, so the new
// entry is reversed: its original direction is from the server to the client.
type lostConnection struct {
	t              *testing.T
	client, server net.Conn
}

// loseConnection opens a connection while no pod is isolated, and then deletes the
// connection's conntrack entry.
func loseConnection(s *fixture, client, server *lab.Pod, like netip.Addr) *lostConnection {
	s.t.Helper()
	a, _ := server.Address(like)
	at := netip.AddrPortFrom(a, 80)
	var l *net.TCPListener
	if err := server.Do(func() (err error) {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	defer l.Close()
	s.number++
	s.useGeneration(generation.Generation{Number: s.number, Evaluator: evaluator{allow, nil}})
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	c := &lostConnection{t: s.t}
	var err error
	if c.client, err = client.Dial(ctx, flow.TCP, netip.Addr{}, at); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.client.Close() })
	if c.server, err = l.Accept(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.server.Close() })
	if err := s.node.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) }); err != nil {
		s.t.Fatal(err)
	}
	c.passes(c.server, c.client, "picked up")
	c.passes(c.client, c.server, "continued")
	return c
}

// send sends data from one end of the connection. It returns the error from reading the data at
// the other end.
func (c *lostConnection) send(from, to net.Conn, data string, wait time.Duration) error {
	c.t.Helper()
	if err := to.SetReadDeadline(time.Now().Add(wait)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := from.Write([]byte(data)); err != nil {
		c.t.Fatal(err)
	}
	_, err := io.ReadFull(to, make([]byte, len(data)))
	return err
}

func (c *lostConnection) passes(from, to net.Conn, data string) {
	c.t.Helper()
	if err := c.send(from, to, data, 2*time.Second); err != nil {
		c.t.Fatalf("%s: %v", data, err)
	}
}

func (c *lostConnection) isDropped(from, to net.Conn, data string) {
	c.t.Helper()
	if err := c.send(from, to, data, 500*time.Millisecond); err == nil {
		c.t.Errorf("%s: arrived, want it dropped", data)
	}
}

// TestPickedUpConnectionOfIsolatedClientContinues checks a connection that a pod opened before
// the pod was isolated for ingress. The connection must continue even if connection tracking
// has picked the connection up from a packet of the server.
func TestPickedUpConnectionOfIsolatedClientContinues(t *testing.T) {
	for name, like := range map[string]netip.Addr{"IPv4": like4, "IPv6": like6} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t, ruleset.Drop, allow)
			c := loseConnection(s, s.two, s.one, like)
			s.use(deny)
			c.passes(c.client, c.server, "still open")
			c.passes(c.server, c.client, "in both directions")
		})
	}
}

// TestS50PickedUpConnectionToIsolatedServerIsDenied tests rows S50 and S51 of
// docs/semantics.md. A policy that denies a connection stops the connection, even if
// connection tracking has picked up the connection from a packet of the server. The connection
// continues when it is allowed again.
func TestS50PickedUpConnectionToIsolatedServerIsDenied(t *testing.T) {
	for name, like := range map[string]netip.Addr{"IPv4": like4, "IPv6": like6} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t, ruleset.Drop, allow)
			c := loseConnection(s, s.one, s.two, like)
			s.use(allow)
			c.passes(c.server, c.client, "allowed by policy")
			s.use(deny)
			c.isDropped(c.server, c.client, "from the server")
			c.isDropped(c.client, c.server, "from the client")
			s.use(allow)
			if err := c.send(c.client, c.server, "allowed again", 5*time.Second); err != nil {
				t.Errorf("the connection does not continue after it is allowed again: %v", err)
			}
		})
	}
}
