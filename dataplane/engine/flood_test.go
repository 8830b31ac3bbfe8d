package engine_test

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// flooded is the number of datagrams of a flood. It is so high that the flood fills the flood
// queue, although the rules send the packets below the limit to a normal queue.
const flooded = 10_000

// TestFlood sends new flows to an isolated pod as fast as possible, while the workers are blocked
// by the first packet that they evaluate. With the failure policy Open, the kernel accepts packets
// that arrive at a full normal queue. It must drop packets that arrive at the full flood queue,
// because a pod could otherwise bypass policies with a flood. When the workers are no longer
// blocked, a flow of another pod is evaluated.
func TestFlood(t *testing.T) {
	for name, c := range map[string]struct {
		family    netip.Addr
		direction string
	}{
		// Pod one sends the packets, so it is the flooder, although no policy selects it.
		"IPv4, from a pod": {like4, "egress"},
		"IPv6, from a pod": {like6, "egress"},
		// If another machine sends the packets, the rules count the packets for the pod that
		// receives them.
		"IPv4, from another machine": {like4, "ingress"},
		"IPv6, from another machine": {like6, "ingress"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t, ruleset.Drop, func(flow.Flow) rule.Verdict { return rule.Deny })
			if err := s.engine.Close(); err != nil {
				t.Fatal(err)
			}
			s.config.FailurePolicy = ruleset.FailOpen
			three, err := s.node.AddPod("three")
			if err != nil {
				t.Fatal(err)
			}
			sender, flooder := s.one.Host, s.one
			if c.direction == "ingress" {
				sender, flooder = s.lab.Outside, s.two
			}
			s.known = map[netip.Addr]string{}
			for _, pod := range []*lab.Pod{s.one, s.two, three} {
				for _, a := range pod.Addresses() {
					s.known[a] = "default/" + pod.Name()
				}
			}
			from := addressOf(t, sender, c.family)
			blocked := make(chan struct{})
			unblock := sync.OnceFunc(func() { close(blocked) })
			s.start(func(f flow.Flow) rule.Verdict {
				if f.Src == from {
					<-blocked
					return rule.Deny
				}
				return rule.Allow
			})
			t.Cleanup(unblock) // A blocked worker would prevent the end of the engine after a failure.
			to := addressOf(t, s.two.Host, c.family)
			at := net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 7000))
			var received atomic.Int64
			s.receive(at, &received)
			s.flood(sender, at)

			status := s.status()
			if q := status.Verdicts.FloodQueue; q == nil || q.Dropped == 0 || q.Waiting == 0 {
				t.Errorf("flood queue %+v, want waiting and dropped packets", q)
			}
			if status.Verdicts.QueueDropped > 0 || status.Verdicts.Waiting == 0 {
				t.Errorf("normal queues: waiting %d, dropped %d, want few waiting packets, and none dropped", status.Verdicts.Waiting, status.Verdicts.QueueDropped)
			}
			name, _ := flooder.Address(c.family)
			eventually.NoError(t, func() error {
				for _, f := range s.status().Flooding {
					if f.Address == name && f.Pod == s.known[name] && f.Direction == c.direction && f.PerSecond > 0 {
						return nil
					}
				}
				return fmt.Errorf("flooding pods %+v, want %s", s.status().Flooding, s.known[name])
			})
			unblock()
			eventually.NoError(t, func() error {
				if v := s.status().Verdicts; v.Waiting+v.FloodQueue.Waiting > 0 {
					return fmt.Errorf("%d and %d packets wait", v.Waiting, v.FloodQueue.Waiting)
				}
				return nil
			})
			if n := received.Load(); n > 0 {
				t.Errorf("%d of %d denied packets were accepted", n, flooded)
			}
			if r := s.probe(three.Host, flow.UDP, s.serve(s.two, flow.UDP, c.family, 7001)); r != lab.Connected {
				t.Errorf("a flow of another pod: %s", r)
			}
		})
	}
}

func addressOf(t *testing.T, host *lab.Host, like netip.Addr) netip.Addr {
	t.Helper()
	a, ok := host.Address(like)
	if !ok {
		t.Fatalf("%s has no address like %s", host.Name(), like)
	}
	return a
}

// receive counts the datagrams that arrive in pod two.
func (s *fixture) receive(at *net.UDPAddr, received *atomic.Int64) {
	s.t.Helper()
	var conn *net.UDPConn
	err := s.two.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", at)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			if _, _, err := conn.ReadFromUDP(make([]byte, 1)); err != nil {
				return
			}
			received.Add(1)
		}
	})
	s.t.Cleanup(func() {
		_ = conn.Close()
		reading.Wait()
	})
}

// flood sends datagrams as fast as possible. Every datagram is the first packet of a flow, because
// conntrack stores a flow only after the kernel has accepted a packet of this flow.
func (s *fixture) flood(from *lab.Host, to *net.UDPAddr) {
	s.t.Helper()
	err := from.Do(func() error {
		conn, err := net.ListenUDP("udp", nil)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		for range flooded {
			if _, err := conn.WriteToUDP([]byte{0}, to); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}
