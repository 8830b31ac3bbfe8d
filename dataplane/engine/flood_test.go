package engine_test

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// flooded is the number of datagrams of a flood. It is so high that the flood fills the flood
// queue, although the rules send the packets below the limit to a normal queue.
const flooded = 10_000

// floodCase is a flood from or to a pod.
type floodCase struct {
	family    netip.Addr
	direction string
}

var floodCases = map[string]floodCase{
	// Pod one sends the packets, so it is the flooder, although no policy selects it.
	"IPv4, from a pod": {like4, "egress"},
	"IPv6, from a pod": {like6, "egress"},
	// If another machine sends the packets, the rules count the packets for the pod that receives
	// them.
	"IPv4, from another machine": {like4, "ingress"},
	"IPv6, from another machine": {like6, "ingress"},
}

// floodFixture is a fixture with a third pod. The tree contains the names of the pods.
type floodFixture struct {
	*fixture
	three *lab.Pod
}

// fixture returns a fixture without an engine, the host that sends the flood, and the pod that is the
// flooder.
func (c floodCase) fixture(t *testing.T) (s *floodFixture, sender *lab.Host, flooder *lab.Pod) {
	t.Helper()
	s = &floodFixture{fixture: newFixture(t, ruleset.Drop, func(flow.Flow) rule.Verdict { return rule.Deny })}
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	s.config.FailurePolicy = ruleset.FailOpen
	var err error
	if s.three, err = s.node.AddPod("three"); err != nil {
		t.Fatal(err)
	}
	s.known = map[netip.Addr]string{}
	for _, pod := range []*lab.Pod{s.one, s.two, s.three} {
		for _, a := range pod.Addresses() {
			s.known[a] = "default/" + pod.Name()
		}
	}
	if c.direction == "ingress" {
		return s, s.lab.Outside, s.two
	}
	return s, s.one.Host, s.one
}

// floods waits until the status contains the flooder.
func (s *floodFixture) floods(flooder *lab.Pod, c floodCase) {
	s.t.Helper()
	a := addressOf(s.t, flooder.Host, c.family)
	eventually.NoError(s.t, func() error {
		for _, f := range s.status().Flooding {
			if f.Address == a && f.Pod == s.known[a] && f.Direction == c.direction && f.PerSecond > 0 {
				return nil
			}
		}
		return fmt.Errorf("flooding pods %+v, want %s", s.status().Flooding, s.known[a])
	})
}

// TestFlood sends new flows to an isolated pod as fast as possible, while the workers are blocked
// by the first packet that they evaluate. With the failure policy Open, the kernel accepts packets
// that arrive at a full normal queue. It must drop packets that arrive at the full flood queue,
// because a pod could otherwise bypass policies with a flood. When the workers are no longer
// blocked, a flow of another pod is evaluated.
func TestFlood(t *testing.T) {
	for name, c := range floodCases {
		t.Run(name, func(t *testing.T) {
			s, sender, flooder := c.fixture(t)
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
			s.floods(flooder, c)
			unblock()
			s.evaluated(func(v report.Stats) bool { return v.Waiting+v.FloodQueue.Waiting == 0 })
			if n := received.Load(); n > 0 {
				t.Errorf("%d of %d denied packets were accepted", n, flooded)
			}
			if r := s.probe(s.three.Host, flow.UDP, s.serve(s.two, flow.UDP, c.family, 7001)); r != lab.Connected {
				t.Errorf("a flow of another pod: %s", r)
			}
		})
	}
}

// TestDeniedFlood sends new flows at a rate that is below the limit for all flows. If policies allow
// the flows, their packets go to a normal queue. If policies deny them, the sender exceeds the limit
// for denied flows, and its packets go to the flood queue. The worker of the flood queue still allows
// the other flows of the sender.
func TestDeniedFlood(t *testing.T) {
	const allowed, denied, flows, allowedBursts = 7000, 8000, 150, 4
	// perSecond is above the limit for denied flows, and below the limit for all flows.
	const perSecond = 1000
	for name, c := range floodCases {
		t.Run(name, func(t *testing.T) {
			s, sender, flooder := c.fixture(t)
			s.start(func(f flow.Flow) rule.Verdict {
				if f.DstPort >= denied {
					return rule.Deny
				}
				return rule.Allow
			})
			sent, next := uint64(0), time.NewTicker(flows*time.Second/perSecond)
			defer next.Stop()
			send := func(port uint16) {
				<-next.C
				s.open(sender, c.family, port, flows)
				sent += flows
				s.evaluated(func(v report.Stats) bool { return v.Packets >= sent })
			}
			for range allowedBursts {
				send(allowed)
			}
			if q := s.status().Verdicts.FloodQueue; q.Packets > 0 {
				t.Errorf("after %d allowed flows: flood queue %+v, want no packets", sent, q)
			}
			eventually.NoError(t, func() error {
				send(denied)
				if flooding := s.status().Flooding; len(flooding) > 0 {
					f := flooding[0]
					if len(flooding) > 1 || f.Address != addressOf(t, flooder.Host, c.family) || f.Direction != c.direction {
						t.Errorf("flooding pods %+v, want only %s", flooding, flooder.Name())
					}
					if f.PerSecond > 3*perSecond/2 {
						t.Errorf("flooding pod %+v, but at most %d packets were sent per second", f, perSecond)
					}
					return nil
				}
				return fmt.Errorf("no flooding pod, flood queue %+v", s.status().Verdicts.FloodQueue)
			})
			before := s.status().Verdicts.FloodQueue.Packets
			if r := s.probe(sender, flow.UDP, s.serve(s.two, flow.UDP, c.family, allowed)); r != lab.Connected {
				t.Errorf("an allowed flow of the flooder: %s", r)
			}
			s.evaluated(func(v report.Stats) bool { return v.FloodQueue.Packets > before })
		})
	}
}

// evaluated waits until the condition is true for the counters of the engine.
func (s *floodFixture) evaluated(condition func(report.Stats) bool) {
	s.t.Helper()
	eventually.NoError(s.t, func() error {
		if v := s.status().Verdicts; !condition(v) {
			return fmt.Errorf("counters %+v", v)
		}
		return nil
	})
}

// open sends one datagram to each of n ports of pod two, so that each datagram opens a new flow.
func (s *floodFixture) open(from *lab.Host, family netip.Addr, first uint16, n int) {
	s.t.Helper()
	to := addressOf(s.t, s.two.Host, family)
	s.sending(from, func(conn *net.UDPConn) error {
		for i := range n {
			if _, err := conn.WriteToUDPAddrPort([]byte{0}, netip.AddrPortFrom(to, first+uint16(i))); err != nil {
				return err
			}
		}
		return nil
	})
}

// sending calls a function with a socket of a host.
func (s *fixture) sending(from *lab.Host, send func(*net.UDPConn) error) {
	s.t.Helper()
	err := from.Do(func() error {
		conn, err := net.ListenUDP("udp", nil)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		return send(conn)
	})
	if err != nil {
		s.t.Fatal(err)
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
	s.sending(from, func(conn *net.UDPConn) error {
		for range flooded {
			if _, err := conn.WriteToUDP([]byte{0}, to); err != nil {
				return err
			}
		}
		return nil
	})
}
