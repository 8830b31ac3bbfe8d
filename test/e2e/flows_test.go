package e2e_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// These constants define the load of the test, which keeps many flows open while trees change.
// The test opens manySockets sockets. Each socket sends datagrams to manyPorts ports. The
// policy allows every second port.
const (
	manySockets = 100
	manyPorts   = 100
	manySwaps   = 100
	firstPort   = 10000
	// pace is the time between two packets of one flow. All flows together send 20,000 packets
	// per second. The policy denies half of these packets, and the dataplane evaluates every
	// denied packet.
	pace = 500 * time.Millisecond
)

func TestManyFlowsAndSwaps(t *testing.T) {
	t.Parallel()
	const allowed = `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {app: probe}}, namespaceSelector: {}}], ports: [%s{port: 7}]}]}`
	var ports string
	for i := 0; i < manyPorts; i += 2 {
		ports += fmt.Sprintf("{port: %d, protocol: UDP}, ", firstPort+i)
	}
	s := newFixture(t, map[string]string{"shop/web": fmt.Sprintf(allowed, ports)}, "--deny", "Drop")
	like := families[1]
	var servers []*lab.Server
	for i := range manyPorts {
		servers = append(servers, s.serverAt(s.host("shop/web"), flow.UDP, netip.AddrPortFrom(s.address("shop/web", like), uint16(firstPort+i))))
	}
	s.serverAt(s.host("shop/web"), flow.TCP, netip.AddrPortFrom(s.address("shop/web", like), 7))

	swapped := make(chan struct{})
	var running errgroup.Group
	var rounds atomic.Uint64
	for range manySockets {
		c, err := s.unconnected("lab/probe", like)
		s.must(err)
		t.Cleanup(func() { _ = c.Close() })
		running.Go(func() error {
			next := time.NewTicker(pace)
			defer next.Stop()
			for last := false; !last; rounds.Add(1) {
				select {
				case <-swapped:
					last = true
				default:
				}
				if err := s.round(c, like); err != nil {
					return err
				}
				select {
				case <-next.C:
				case <-swapped:
				}
			}
			return nil
		})
	}
	// In addition, open new connections until the last tree change.
	running.Go(func() error {
		for {
			select {
			case <-swapped:
				return nil
			default:
			}
			for port, want := range map[uint16]lab.Result{7: lab.Connected, 8: lab.TimedOut} {
				timeout := limit
				if want == lab.TimedOut {
					timeout = silence
				}
				got, err := s.host("lab/probe").Probe(t.Context(), flow.TCP, netip.Addr{}, netip.AddrPortFrom(s.address("shop/web", like), port), timeout)
				if err != nil {
					return err
				}
				if got != want {
					return fmt.Errorf("a new connection to port %d: %s, want %s", port, got, want)
				}
			}
		}
	})
	// Wait until the first packets of all flows have been evaluated. Only then change trees.
	eventually.True(t, "all flows are open", func() bool { return rounds.Load() >= manySockets })
	begin := time.Now()
	for i := range manySwaps {
		// Each tree differs from the previous tree, but contains the same rules for the flows
		// of this test.
		s.label("lab/far", "generation", fmt.Sprint(i))
		s.set("shop/other", fmt.Sprintf(`{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {generation: "%d"}}, namespaceSelector: {}}], ports: [{port: %d}]}]}`, i, 20000+i))
		s.enforce()
	}
	took := time.Since(begin)
	close(swapped)
	if err := running.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, s.plane.Log())
	}
	for i, server := range servers {
		if allowed := i%2 == 0; (server.Served() > 0) != allowed {
			t.Errorf("port %d got %d packets, allowed: %v", firstPort+i, server.Served(), allowed)
		}
	}
	known := 0
	all, err := s.nodes["one"].Connections()
	s.must(err)
	for _, c := range all {
		if c.TupleOrig.Proto.DestinationPort >= firstPort && c.TupleOrig.Proto.DestinationPort < firstPort+manyPorts {
			known++
			if c.Mark&ourMask != 0x20 {
				t.Errorf("a flow to port %d has mark %#x", c.TupleOrig.Proto.DestinationPort, c.Mark)
			}
		}
	}
	t.Logf("%d flows, %d of them known to connection tracking, %d rounds, %d swaps in %s", manySockets*manyPorts, known, rounds.Load(), manySwaps, took)
	if want := manySockets * manyPorts / 2; known != want {
		t.Errorf("connection tracking has %d flows, want %d: denied flows leave no entry", known, want)
	}
}

// The method `unconnected` opens a UDP socket in a pod. The socket is not connected, so it can
// send datagrams to any address.
func (s *fixture) unconnected(from string, like netip.Addr) (*net.UDPConn, error) {
	var c *net.UDPConn
	err := s.host(from).Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.address(from, like), 0)))
		return err
	})
	return c, err
}

// round sends one datagram over each flow of a socket. A datagram of an allowed flow must get a
// reply. A datagram of a denied flow must not get a reply.
func (s *fixture) round(c *net.UDPConn, like netip.Addr) error {
	to := s.address("shop/web", like)
	for i := range manyPorts {
		number := binary.BigEndian.AppendUint64(nil, rand.Uint64())
		at := netip.AddrPortFrom(to, uint16(firstPort+i))
		if _, err := c.WriteToUDPAddrPort(number, at); err != nil {
			return fmt.Errorf("sending to port %d: %w", at.Port(), err)
		}
		if i%2 != 0 {
			continue
		}
		if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
		answer := make([]byte, len(number))
		n, from, err := c.ReadFromUDPAddrPort(answer)
		if err != nil {
			return fmt.Errorf("an allowed flow to port %d: %w", at.Port(), err)
		}
		if from != at || !bytes.Equal(answer[:n], number) {
			return fmt.Errorf("%s replied to a datagram for %s: %w", from, at, os.ErrInvalid)
		}
	}
	return nil
}
