package engine_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// holdFixture is a node whose engine holds packets of unknown pods. The CNI results contain the
// pods one and two. The tree contains only pod two.
type holdFixture struct {
	*fixture
	sandboxes []report.Sandbox
}

func newHoldFixture(t *testing.T, limit time.Duration, ingress verdictFunc) *holdFixture {
	t.Helper()
	s := &holdFixture{fixture: newFixture(t, ruleset.Reject, ingress)}
	s.restart(limit, ruleset.FailClosed, ingress)
	return s
}

// restart closes the engine and starts another engine.
func (s *holdFixture) restart(limit time.Duration, failure ruleset.FailurePolicy, ingress verdictFunc) {
	s.t.Helper()
	if err := s.engine.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.config.Hold, s.config.FailurePolicy = limit, failure
	s.known = map[netip.Addr]string{}
	s.sandboxes = nil
	s.start(ingress)
	s.addToResults("lab/two", s.two)
	s.addToResults("lab/one", s.one)
	s.addToTree("lab/two", s.two, ingress)
}

// addToResults adds a pod to the CNI results.
func (s *holdFixture) addToResults(pod string, host *lab.Pod) {
	s.t.Helper()
	s.sandboxes = append(s.sandboxes, report.Sandbox{
		Namespace: pod[:3], Name: pod[4:], Interface: "eth0", HostInterface: host.Interface, Addresses: host.Addresses(),
	})
	if err := s.engine.SetSandboxes(report.Sandboxes{Available: true, Sandboxes: s.sandboxes}); err != nil {
		s.t.Fatal(err)
	}
}

// addToTree adds a pod to the tree.
func (s *holdFixture) addToTree(pod string, host *lab.Pod, ingress verdictFunc) {
	s.t.Helper()
	for _, a := range host.Addresses() {
		s.known[a] = pod
	}
	s.use(ingress)
}

func (s *holdFixture) held() report.Held { return s.status().Held }

// attempt is the result of a connection attempt.
type attempt struct {
	result lab.Result
	at     time.Time
}

// atOnce is the time within which a held packet must be released, even on a busy machine. It is
// shorter than 1 s, the time after which a client retransmits a SYN.
const atOnce = 900 * time.Millisecond

// port is the port of the next server.
var port uint16 = 10000

func nextPort() uint16 {
	port++
	return port
}

// begin starts to open a connection, and waits until its first packet is held.
func (s *holdFixture) begin(from *lab.Host, protocol flow.Protocol, to netip.AddrPort) <-chan attempt {
	s.t.Helper()
	waiting := s.held().Waiting
	out := make(chan attempt, 1)
	go func() {
		r, err := from.Probe(context.Background(), protocol, netip.Addr{}, to, 4*time.Second)
		if err != nil {
			s.t.Error(err)
		}
		out <- attempt{r, time.Now()}
	}()
	eventually.True(s.t, "a packet is held", func() bool { return s.held().Waiting > waiting })
	return out
}

func both(f func(like netip.Addr, protocol flow.Protocol)) {
	for _, like := range []netip.Addr{like4, like6} {
		for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
			f(like, protocol)
		}
	}
}

// TestNewPodsAreHeld tests the rows S54 to S56 of docs/semantics.md. The first packet of a new pod
// is held until a tree contains the pod. The first packet then gets the verdict of the policies.
func TestNewPodsAreHeld(t *testing.T) {
	s := newHoldFixture(t, 3*time.Second, allow)
	for name, c := range map[string]struct {
		ingress verdictFunc
		want    lab.Result
	}{"allowed": {allow, lab.Connected}, "denied": {deny, lab.Rejected}} {
		t.Run(name, func(t *testing.T) {
			s.restart(3*time.Second, ruleset.FailClosed, c.ingress)
			var to []netip.AddrPort
			var begun []<-chan attempt
			both(func(like netip.Addr, protocol flow.Protocol) {
				to = append(to, s.serve(s.two, protocol, like, nextPort()))
				begun = append(begun, s.begin(s.one.Host, protocol, to[len(to)-1]))
			})
			if h := s.held(); h.Waiting < 4 || h.Released+h.TimedOut > 0 {
				t.Errorf("before the tree contains the pod: %+v", h)
			}
			begin := time.Now()
			s.addToTree("lab/one", s.one, c.ingress)
			for _, b := range begun {
				if a := <-b; a.result != c.want || a.at.Before(begin) || a.at.Sub(begin) > atOnce {
					t.Errorf("%s after %s, want %s at once", a.result, a.at.Sub(begin), c.want)
				}
			}
			h := s.held()
			if h.Waiting > 0 || h.Released < 4 || h.TimedOut+h.NotPods+h.OverLimit > 0 {
				t.Errorf("after the tree contains the pod: %+v", h)
			}
			// Further packets of the pod are not held.
			if got := s.probe(s.one.Host, flow.TCP, to[0]); got != c.want {
				t.Errorf("a second connection: %s, want %s", got, c.want)
			}
			if again := s.held(); again.Released != h.Released {
				t.Errorf("a known pod was held: %+v", again)
			}
		})
	}
}

// TestPacketsToNewPodsAreHeld checks that packets to a pod that is not in the tree yet are
// held. The pod runs a server that has just started.
func TestPacketsToNewPodsAreHeld(t *testing.T) {
	s := newHoldFixture(t, 3*time.Second, deny)
	s.restart(3*time.Second, ruleset.FailClosed, allow)
	s.known = map[netip.Addr]string{}
	s.addToTree("lab/one", s.one, allow)
	both(func(like netip.Addr, protocol flow.Protocol) {
		to := s.serve(s.two, protocol, like, nextPort())
		for _, from := range []*lab.Host{s.one.Host, s.lab.Outside} {
			begun := s.begin(from, protocol, to)
			begin := time.Now()
			s.addToTree("lab/two", s.two, allow)
			if a := <-begun; a.result != lab.Connected || a.at.Before(begin) || a.at.Sub(begin) > atOnce {
				t.Errorf("%s to %s: %s after %s, want it connected at once", protocol, to, a.result, a.at.Sub(begin))
			}
			// Packets of the node itself are never held (row S40).
			for _, a := range s.two.Addresses() {
				delete(s.known, a)
			}
			s.use(allow)
			if got := s.probe(s.node.Host, protocol, to); got != lab.Connected {
				t.Errorf("from the node: %s", got)
			}
		}
	})
}

// TestUnknownPods checks that packets of a pod that is still unknown after the time limit are
// accepted or dropped according to the failure policy.
func TestUnknownPods(t *testing.T) {
	const limit = 500 * time.Millisecond
	s := newHoldFixture(t, limit, deny)
	for failure, want := range map[ruleset.FailurePolicy]lab.Result{ruleset.FailClosed: lab.TimedOut, ruleset.FailOpen: lab.Connected} {
		events := queue.NewEvents()
		received, stop := events.Subscribe(true)
		s.config.Events = events
		s.restart(limit, failure, allow)
		both(func(like netip.Addr, protocol flow.Protocol) {
			at := s.serve(s.two, protocol, like, nextPort())
			begin := time.Now()
			if got := s.probe(s.one.Host, protocol, at); got != want || time.Since(begin) < limit {
				t.Errorf("%s, %s to %s: %s after %s, want %s", failure, protocol, at, got, time.Since(begin), want)
			}
		})
		eventually.True(t, "no packet is held", func() bool { return s.held().Waiting == 0 })
		h := s.held()
		if h.Released > 0 || h.TimedOut < 4 || h.OverLimit > 0 {
			t.Errorf("%s: %+v", failure, h)
		}
		// Although several packets timed out, there is only one event per address.
		seen := map[netip.Addr]int{}
		for wait := time.After(200 * time.Millisecond); wait != nil; {
			select {
			case e := <-received:
				if e.Verdict != report.Unknown || e.Held < limit {
					t.Errorf("event %+v", e)
				}
				seen[e.Src]++
			case <-wait:
				wait = nil
			}
		}
		for _, a := range s.one.Addresses() {
			if seen[a] != 1 {
				t.Errorf("%s: %d events for %s, want 1", failure, seen[a], a)
			}
		}
		stop()
	}
}

// TestUnknownPodsWithoutAnAgent checks that no packet is held while no agent runs, and that the
// failure policy decides at once.
func TestUnknownPodsWithoutAnAgent(t *testing.T) {
	s := newHoldFixture(t, 3*time.Second, allow)
	at := s.serve(s.two, flow.TCP, like4, 80)
	waiting := s.begin(s.one.Host, flow.TCP, at)
	s.engine.SetAgentGone(true)
	eventually.True(t, "no packet is held", func() bool { h := s.held(); return h.Waiting == 0 && h.NoAgent > 0 && h.AgentGone })
	if got := s.probe(s.one.Host, flow.TCP, at); got != lab.TimedOut {
		t.Errorf("%s, want it denied", got)
	}
	s.engine.SetAgentGone(false)
	s.addToTree("lab/one", s.one, allow)
	if a := <-waiting; a.result != lab.Connected {
		t.Errorf("the agent is back: %s, want it connected by a repetition", a.result)
	}
}
