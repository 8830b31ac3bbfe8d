package engine_test

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/hold"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/lab"
)

// peerEvaluator is a tree that contains only pod two. Pod two is isolated for both directions.
type peerEvaluator struct {
	two    []netip.Addr
	allows bool
	closed *atomic.Bool
}

func (e peerEvaluator) Evaluate(f flow.Flow) rule.Decision {
	if e.closed.Load() {
		panic("a tree was used after it was closed")
	}
	side := func(a netip.Addr) rule.Side {
		switch {
		case !slices.Contains(e.two, a):
			return rule.Side{Verdict: rule.Allow, Reason: rule.Elsewhere}
		case e.allows:
			return rule.Side{Verdict: rule.Allow, Reason: rule.Matched}
		}
		return rule.Side{Reason: rule.NoRuleMatched}
	}
	return rule.Decision{Egress: side(f.Src), Ingress: side(f.Dst)}
}

// peerFixture is a node whose engine has pod ranges. The isolated pod two runs on the node. The
// outside host acts as a pod of another node.
type peerFixture struct {
	*holdFixture
	peers *hold.Peers
}

func newPeerFixture(t *testing.T, limit time.Duration) *peerFixture {
	t.Helper()
	s := &peerFixture{newHoldFixture(t, limit, allow), hold.NewPeers()}
	s.config.Peers = s.peers
	s.restart(limit, ruleset.FailClosed, allow)
	s.peers.SetRanges(report.PodRanges{Cluster: s.outsideRange()})
	s.useTree(false)
	return s
}

// outsideRange returns pod ranges that contain only the address of the outside host.
func (s *peerFixture) outsideRange() []netip.Prefix {
	var out []netip.Prefix
	for _, like := range []netip.Addr{like4, like6} {
		a, _ := s.lab.Outside.Address(like)
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}

// useTree enforces a tree that allows or denies all peers of pod two.
func (s *peerFixture) useTree(allows bool) {
	s.t.Helper()
	s.number++
	closed := &atomic.Bool{}
	s.useGeneration(s.peerGeneration(allows, closed))
}

func (s *peerFixture) peerGeneration(allows bool, closed *atomic.Bool) (g generation.Generation) {
	g.Number, g.Names = s.number, s.known
	g.Evaluator = peerEvaluator{s.two.Addresses(), allows, closed}
	g.Isolated = ruleset.Addresses{Ingress: s.two.Addresses(), Egress: s.two.Addresses()}
	g.Close = func() error { closed.Store(true); return nil }
	return g
}

// eachDirection calls f twice for each address family and protocol: once with a connection from
// the outside host to pod two, and once with a connection from pod two to the outside host.
func (s *peerFixture) eachDirection(f func(from *lab.Host, protocol flow.Protocol, to netip.AddrPort)) {
	both(func(like netip.Addr, protocol flow.Protocol) {
		f(s.lab.Outside, protocol, s.serve(s.two, protocol, like, nextPort()))
		f(s.two.Host, protocol, s.serveHost(s.lab.Outside, protocol, like, nextPort()))
	})
}

// TestNewPeersAreHeld checks that the first packet of a new pod on another node is held until a
// tree allows it, so that the client need not retransmit the packet.
func TestNewPeersAreHeld(t *testing.T) {
	s := newPeerFixture(t, 3*time.Second)
	events := queue.NewEvents()
	received, stop := events.Subscribe(false)
	defer stop()
	s.config.Events = events
	s.restart(3*time.Second, ruleset.FailClosed, allow)
	s.peers.SetRanges(report.PodRanges{Cluster: s.outsideRange()})
	for _, delay := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 900 * time.Millisecond} {
		s.useTree(false)
		before := s.status()
		begin := time.Now()
		var begun []<-chan attempt
		s.eachDirection(func(from *lab.Host, protocol flow.Protocol, to netip.AddrPort) {
			done := make(chan attempt, 1)
			go func() {
				r, err := from.Probe(t.Context(), protocol, netip.Addr{}, to, 4*time.Second)
				if err != nil {
					t.Error(err)
				}
				done <- attempt{r, time.Now()}
			}()
			begun = append(begun, done)
		})
		<-time.After(time.Until(begin.Add(delay)))
		s.useTree(true)
		for _, b := range begun {
			if a := <-b; a.result != lab.Connected || a.at.Sub(begin) > delay+300*time.Millisecond {
				t.Errorf("delay %s: %s after %s", delay, a.result, a.at.Sub(begin))
			}
		}
		after := s.status()
		h := after.Held
		if n := h.PeersAllowed - before.Held.PeersAllowed; n != uint64(len(begun)) || h.PeersDenied+h.PeersOverLimit+h.Released+h.TimedOut > 0 || h.Waiting > 0 {
			t.Errorf("delay %s: %+v", delay, h)
		}
		if after.Verdicts.Denied > before.Verdicts.Denied || after.Verdicts.VerdictErrors > 0 {
			t.Errorf("delay %s: %+v", delay, after.Verdicts)
		}
		for range begun {
			select {
			case e := <-received:
				if e.Verdict != report.Allow || e.Held <= 0 || e.Held > delay+300*time.Millisecond {
					t.Errorf("delay %s: event %+v", delay, e)
				}
			case <-time.After(2 * time.Second):
				t.Fatalf("delay %s: an event is missing", delay)
			}
		}
	}
}

// TestDeniedPeersWaitOnce checks a peer that no tree allows. Its first packet is held, and its
// next packets are denied at once. A packet of a peer outside the pod ranges must never be
// held.
func TestDeniedPeersWaitOnce(t *testing.T) {
	for _, limit := range []time.Duration{300 * time.Millisecond, 3 * time.Second} {
		t.Run(limit.String(), func(t *testing.T) {
			s := newPeerFixture(t, limit)
			most := min(limit, time.Second)
			first := true
			both(func(like netip.Addr, protocol flow.Protocol) {
				if protocol == flow.TCP {
					first = true
				}
				to := s.serve(s.two, protocol, like, nextPort())
				for range 3 {
					begin := time.Now()
					r, err := s.lab.Outside.Probe(t.Context(), protocol, netip.Addr{}, to, 4*time.Second)
					took := time.Since(begin)
					if err != nil || r != lab.Rejected || first && took < most || took > most+300*time.Millisecond || !first && took > 250*time.Millisecond {
						t.Errorf("%s to %s: %s after %s, %v", protocol, to, r, took, err)
					}
					first = false
				}
			})
			// A SYN is retransmitted after one second. If the first SYN was held for one second,
			// the second SYN of each family can be sent to the hold queue as well.
			retransmitted := uint64(0)
			if most == time.Second {
				retransmitted = 2
			}
			if h := s.held(); h.PeersDenied < 2 || h.PeersDenied > 2+retransmitted || h.PeersAllowed+h.PeersOverLimit > 0 {
				t.Errorf("%+v", h)
			}
			s.peers.SetRanges(report.PodRanges{Cluster: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
			begin := time.Now()
			to := s.serveHost(s.lab.Outside, flow.TCP, like4, nextPort())
			if r := s.probe(s.two.Host, flow.TCP, to); r != lab.Rejected || time.Since(begin) > 250*time.Millisecond {
				t.Errorf("outside the ranges: %s after %s", r, time.Since(begin))
			}
		})
	}
}

// TestPeersWithoutAnAgent checks that peers are denied at once while no agent runs, because no
// further tree can arrive.
func TestPeersWithoutAnAgent(t *testing.T) {
	s := newPeerFixture(t, 3*time.Second)
	begun := s.begin(s.lab.Outside, flow.TCP, s.serve(s.two, flow.TCP, like4, nextPort()))
	begin := time.Now()
	s.engine.SetAgentGone(true)
	if a := <-begun; a.result != lab.Rejected || a.at.Sub(begin) > 250*time.Millisecond {
		t.Errorf("a held packet: %s after %s", a.result, a.at.Sub(begin))
	}
	if r := s.probe(s.lab.Outside, flow.UDP, s.serve(s.two, flow.UDP, like6, nextPort())); r != lab.Rejected {
		t.Errorf("another packet: %s", r)
	}
	if h := s.held(); h.PeersDenied != 1 {
		t.Errorf("%+v", h)
	}
}

// TestPeersWhenTheEngineEnds checks that the held packets of peers are denied when the engine
// ends, with either failure policy.
func TestPeersWhenTheEngineEnds(t *testing.T) {
	for _, failure := range []ruleset.FailurePolicy{ruleset.FailClosed, ruleset.FailOpen} {
		s := newPeerFixture(t, 3*time.Second)
		s.restart(3*time.Second, failure, allow)
		s.peers.SetRanges(report.PodRanges{Cluster: s.outsideRange()})
		s.useTree(false)
		begun := s.begin(s.lab.Outside, flow.TCP, s.serve(s.two, flow.TCP, like4, nextPort()))
		if err := s.engine.Close(); err != nil {
			t.Fatal(err)
		}
		if a := <-begun; a.result != lab.Rejected {
			t.Errorf("%s: %s, want %s", failure, a.result, lab.Rejected)
		}
	}
}

// TestNewPodsAreHeldWithoutCNIResults checks that packets of unknown addresses in the pod
// ranges of the node are held if there are no CNI results.
func TestNewPodsAreHeldWithoutCNIResults(t *testing.T) {
	s := newPeerFixture(t, 3*time.Second)
	s.restart(3*time.Second, ruleset.FailClosed, allow)
	if err := s.engine.SetSandboxes(report.Sandboxes{}); err != nil {
		t.Fatal(err)
	}
	var ranges []netip.Prefix
	for _, a := range s.one.Addresses() {
		ranges = append(ranges, netip.PrefixFrom(a, a.BitLen()))
	}
	s.peers.SetRanges(report.PodRanges{Node: ranges})
	var begun []<-chan attempt
	both(func(like netip.Addr, protocol flow.Protocol) {
		begun = append(begun, s.begin(s.one.Host, protocol, s.serve(s.two, protocol, like, nextPort())))
	})
	begin := time.Now()
	s.addToTree("lab/one", s.one, deny)
	for _, b := range begun {
		if a := <-b; a.result != lab.Rejected || a.at.Before(begin) || a.at.Sub(begin) > atOnce {
			t.Errorf("%s after %s, want %s at once", a.result, a.at.Sub(begin), lab.Rejected)
		}
	}
	if h := s.held(); h.Released < 4 || h.TimedOut+h.NotPods > 0 || !h.NodePodRanges {
		t.Errorf("%+v", h)
	}
}
