package e2e_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/eventually"
)

// When a dataplane is killed, the connections that it has allowed continue. No new flow is
// accepted without evaluation. The next dataplane on the node takes over the work.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/web": onlyProbe})
	var streams []*stream
	for _, like := range families {
		streams = append(streams,
			s.open("lab/probe -> shop/web TCP 8080", like), s.open("node:one -> shop/web TCP 8080", like),
			s.open("lab/far -> shop/db UDP 1", like), s.open("lab/probe -> outside TCP 80", like))
	}
	s.set("shop/web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: probe}}}]}]}`)
	s.enforce()
	for _, like := range families {
		streams = append(streams, s.open("lab/probe -> shop/web UDP 8080", like))
	}
	unbroken := s.watch(streams)
	for range 2 {
		s.plane.Kill()
		// Without a dataplane, denied packets are not rejected, but dropped without a reply.
		s.silent = true
		s.want(`
			lab/probe -> shop/web TCP 8080 denied
			lab/probe -> shop/web UDP 8081 denied
			lab/probe -> shop/web SCTP 1   denied
			lab/probe -> shop/web ICMP     denied
			shop/web  -> outside  TCP 80   denied
			node:one  -> shop/web TCP 8080 allowed
			lab/probe -> shop/db  TCP 1    allowed
		`)
		s.start()
		s.want(`
			lab/probe -> shop/web TCP 8080 allowed
			lab/probe -> shop/web UDP 8080 allowed
			lab/probe -> shop/web SCTP 1   allowed
			lab/far   -> shop/web TCP 8080 denied
			lab/far   -> shop/web UDP 8082 denied
			shop/web  -> outside  TCP 80   denied
		`)
	}
	if err := unbroken(); err != nil {
		t.Errorf("an accepted flow was interrupted: %v", err)
	}
}

// A dataplane takes over from a killed dataplane that used other mark bits. No denied packet is
// accepted, because the new dataplane never sets a mark that the old rules could misinterpret.
func TestKilledDataplaneWithOtherMarkBits(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/web": onlyProbe}, "--deny", "Drop")
	to := netip.AddrPortFrom(s.address("shop/web", families[0]), 8081)
	server := s.serverAt(s.host("shop/web"), flow.UDP, to)
	var ended atomic.Bool
	var running errgroup.Group
	running.Go(func() error {
		for !ended.Load() {
			// Each datagram belongs to a new flow, which the policy denies.
			c, err := s.unconnected("lab/far", families[0])
			if err != nil {
				return err
			}
			if _, err := c.WriteToUDPAddrPort([]byte("?"), to); err != nil {
				return errors.Join(err, c.Close())
			}
			if err := c.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	for _, mask := range []string{"0x600", "0x60", "0x600", "0x60"} {
		s.plane.Kill()
		s.start("--deny", "Drop", "--mark-mask", mask)
	}
	ended.Store(true)
	s.must(running.Wait())
	if n := server.Served(); n > 0 {
		t.Errorf("%d denied packets passed", n)
	}
}

// watch starts to transfer data over all streams. On UDP streams, every datagram must get a reply.
// The returned function ends the transfer. Its error is not nil if a stream was interrupted.
func (s *fixture) watch(streams []*stream) func() error {
	var ended atomic.Bool
	var running errgroup.Group
	for _, st := range streams {
		running.Go(func() error {
			for !ended.Load() {
				if err := st.goesOn(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return func() error {
		ended.Store(true)
		return running.Wait()
	}
}

// queueCapacity is the number of packets that a normal queue holds.
const queueCapacity = 8192

// waitBelowFloodLimit is called after each packet of a pod that must fill a normal queue. It waits so
// that the pod opens fewer than 4,000 flows per second. The rules send the packets of a faster pod to
// the flood queue. The parameter `sent` is the number of packets before this one.
func waitBelowFloodLimit(sent uint64) {
	const together = 32
	if sent%together == together-1 {
		<-time.After(together * time.Second / 3000)
	}
}

// If a queue is full, the failure policy determines what happens to further packets. With
// failure policy Closed, the kernel drops these packets, and the dataplane counts them. With
// failure policy Open, the kernel accepts them.
func TestOverflow(t *testing.T) {
	t.Parallel()
	const burst = queueCapacity + 4096
	for _, failure := range []string{"Closed", "Open"} {
		t.Run(failure, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, map[string]string{"shop/web": onlyProbe}, "--queues", "1", "--failure-policy", failure, "--deny", "Drop")
			at := netip.AddrPortFrom(s.address("shop/web", families[0]), 8081)
			server := s.serverAt(s.host("shop/web"), flow.UDP, at)
			s.plane.Pause(t)
			// The policy denies every datagram that a worker evaluates, so no datagram opens a
			// connection.
			conn, err := s.host("lab/probe").Dial(t.Context(), flow.UDP, netip.Addr{}, at)
			s.must(err)
			defer func() { _ = conn.Close() }()
			for i := range uint64(burst) {
				if _, err := conn.Write(binary.BigEndian.AppendUint64(nil, i)); err != nil {
					t.Fatal(err)
				}
				waitBelowFloodLimit(i)
			}
			reached := func() bool { return server.Served() > 0 }
			if failure == "Open" {
				eventually.True(t, "packets pass although the queue is full", reached)
			} else if reached() {
				t.Error("packets passed although the queue was full")
			}
			s.plane.Resume(t)
			// The worker sends the verdicts of a batch before it counts the packets of the
			// batch.
			eventually.True(t, "the queue is empty and its last batch is counted", func() bool {
				v := s.plane.status().Verdicts
				return v.Waiting == 0 && v.Packets == v.Denied
			})
			v := s.plane.status().Verdicts
			t.Logf("of %d packets, %d were evaluated, %d dropped because of a full queue, %d because of a full socket, and %d arrived", burst, v.Packets, v.QueueDropped, v.SocketDropped, server.Served())
			lost, passed := v.QueueDropped+v.SocketDropped, s.plane.status().Unevaluated
			switch {
			case failure == "Open" && (lost != 0 || v.Packets+passed != burst || server.Served() > passed):
				t.Errorf("%d evaluated, %d lost, %d counted as unevaluated, of %d; want none lost and all counted", v.Packets, lost, passed, burst)
			case failure == "Closed" && (server.Served() > 0 || v.Packets+lost != burst || lost == 0 || passed > 0):
				t.Errorf("%d evaluated, %d counted as lost, %d as unevaluated; want all %d evaluated or counted as lost", v.Packets, lost, passed, burst)
			}
			s.want(`
				lab/probe -> shop/web TCP 8080 allowed
				lab/probe -> shop/web TCP 8081 denied
			`)
		})
	}
}

// With failure policy Open, the first packet of a flow is accepted while a queue is full, even if
// policies deny the flow. When the worker runs again, the flow is cut. This happens even if only
// the receiver of the first packet sends further packets.
func TestOverflowWithFailurePolicyOpen(t *testing.T) {
	t.Parallel()
	const burst = queueCapacity + 1024
	s := newFixture(t, map[string]string{"shop/web": onlyProbe}, "--queues", "1", "--failure-policy", "Open", "--deny", "Drop")
	at := netip.AddrPortFrom(s.address("shop/web", families[0]), 8080)
	full := netip.AddrPortFrom(at.Addr(), 8081)
	s.serverAt(s.host("shop/web"), flow.UDP, full)
	web, far := s.socket("shop/web", at), s.socket("lab/far", netip.AddrPortFrom(s.address("lab/far", families[0]), 4000))
	filler, err := s.unconnected("lab/probe", families[0])
	s.must(err)
	t.Cleanup(func() { _ = filler.Close() })
	s.plane.Pause(t)
	for i := range uint64(burst) {
		_, err := filler.WriteToUDPAddrPort([]byte("?"), full)
		s.must(err)
		waitBelowFloodLimit(i)
	}
	_, err = far.WriteToUDPAddrPort([]byte("?"), at)
	s.must(err)
	s.must(web.SetReadDeadline(time.Now().Add(limit)))
	_, from, err := web.ReadFromUDPAddrPort(make([]byte, 1))
	s.must(err)
	s.plane.Resume(t)
	eventually.True(t, "replies are denied", func() bool {
		_, err := web.WriteToUDPAddrPort([]byte("!"), from)
		s.must(err)
		s.must(far.SetReadDeadline(time.Now().Add(silence)))
		_, err = far.Read(make([]byte, 1))
		return err != nil
	})
}

// With failure policy Open, all packets are accepted while no dataplane runs. The next
// dataplane re-evaluates the connections that were opened during this time. It uses the newest
// tree, even if this tree was also published during this time.
func TestKilledWithFailurePolicyOpen(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"shop/web": onlyProbe}, "--failure-policy", "Open", "--deny", "Drop")
	s.want(`
		lab/far   -> shop/web TCP 8080 denied
		lab/probe -> shop/web TCP 8080 allowed
		node:one  -> shop/web TCP 8080 allowed
	`)
	accepted := []*stream{s.open("lab/probe -> shop/web TCP 8080", families[0]), s.open("lab/probe -> shop/web TCP 8080", families[1])}
	s.each("that was accepted", (*stream).goesOn, accepted...)
	if got := s.plane.status().Unevaluated; got != 0 {
		t.Errorf("%d packets are counted as accepted unevaluated although all were evaluated", got)
	}
	s.plane.Kill()
	s.want(`
		lab/far   -> shop/web TCP  8080 allowed
		lab/far   -> shop/web SCTP 1    allowed
		lab/far   -> shop/web ICMP      allowed
		lab/probe -> shop/web UDP  8080 allowed
	`)
	var passed []*stream
	for _, like := range families {
		passed = append(passed, s.open("lab/far -> shop/web TCP 8080", like), s.open("shop/web -> outside UDP 53", like))
	}
	s.set("shop/web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: far}}}]}]}`)
	generation := s.publish()
	s.start("--failure-policy", "Open", "--deny", "Drop")
	s.plane.enforces(generation)
	// Each of the eight new flows adds at least one packet to the count. The flows that were
	// accepted earlier must not add any packet.
	if got := s.plane.status().Unevaluated; got < 8 {
		t.Errorf("%d packets are counted that were accepted without a dataplane, want some of each of 8 flows", got)
	}
	s.each("that the new tree allows", (*stream).goesOn, passed[0], passed[2])
	s.each("that the new tree denies", (*stream).isCut, passed[1], passed[3], accepted[0], accepted[1])
	s.want(`
		lab/far   -> shop/web TCP 8080 allowed
		lab/probe -> shop/web TCP 8080 denied
	`)
}
