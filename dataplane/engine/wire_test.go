package engine_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// fixture is a node with two pods and an engine. Pod two is isolated for ingress.
//
//	one --veth-- node --veth-- two
type fixture struct {
	t        *testing.T
	lab      *lab.Lab
	node     *lab.Node
	one, two *lab.Pod
	engine   *engine.Engine
	config   engine.Config
	number   uint64
	// known contains the pods of the next generation, by address.
	known map[netip.Addr]string
}

// verdictFunc returns the verdict for a flow to pod two.
type verdictFunc func(flow.Flow) rule.Verdict

// evaluator isolates pod two for ingress.
type evaluator struct {
	ingress verdictFunc
	two     []netip.Addr
}

func (j evaluator) Evaluate(f flow.Flow) rule.Decision {
	open := rule.Side{Verdict: rule.Allow, Reason: rule.NotIsolated}
	if !slices.Contains(j.two, f.Dst) {
		return rule.Decision{Egress: open, Ingress: open}
	}
	return rule.Decision{Egress: open, Ingress: rule.Side{Verdict: j.ingress(f), Reason: rule.Matched}}
}

func newFixture(t *testing.T, deny ruleset.Deny, ingress verdictFunc) *fixture {
	t.Helper()
	s := &fixture{t: t}
	var err error
	if s.lab, err = lab.New(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.lab.Close)
	if s.node, err = s.lab.AddNode("node"); err != nil {
		t.Fatal(err)
	}
	if s.one, err = s.node.AddPod("one"); err != nil {
		t.Fatal(err)
	}
	if s.two, err = s.node.AddPod("two"); err != nil {
		t.Fatal(err)
	}
	marks, err := ruleset.MarksOf(ruleset.DefaultMask)
	if err != nil {
		t.Fatal(err)
	}
	s.config = engine.Config{
		Marks: marks, QueueBase: 100, Queues: 2, FailurePolicy: ruleset.FailClosed, Deny: deny, Log: testr.New(t),
	}
	s.start(ingress)
	return s
}

func (s *fixture) generation(ingress verdictFunc) generation.Generation {
	s.number++
	return generation.Generation{
		Number:    s.number,
		Evaluator: evaluator{ingress, s.two.Addresses()},
		Isolated:  ruleset.Addresses{Ingress: s.two.Addresses()},
		Names:     maps.Clone(s.known),
	}
}

func (s *fixture) start(ingress verdictFunc) {
	s.t.Helper()
	err := s.node.Do(func() (err error) {
		s.engine, err = engine.Start(s.config, s.generation(ingress))
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	running := s.engine
	s.t.Cleanup(func() {
		if err := running.Close(); err != nil {
			s.t.Error(err)
		}
	})
	s.acknowledged(s.number)
}

func (s *fixture) use(ingress verdictFunc) {
	s.t.Helper()
	s.useGeneration(s.generation(ingress))
}

// useGeneration enforces a generation and waits until it is acknowledged.
func (s *fixture) useGeneration(g generation.Generation) {
	s.t.Helper()
	if err := s.engine.Use(g); err != nil {
		s.t.Fatal(err)
	}
	s.acknowledged(g.Number)
}

func (s *fixture) acknowledged(generation uint64) {
	s.t.Helper()
	eventually.NoError(s.t, func() error {
		if st := s.status(); st.Generation < generation {
			return fmt.Errorf("generation %d is not acknowledged: %+v", generation, st)
		}
		return nil
	})
}

func (s *fixture) serve(pod *lab.Pod, protocol flow.Protocol, like netip.Addr, port uint16) netip.AddrPort {
	s.t.Helper()
	return s.serveHost(pod.Host, protocol, like, port)
}

func (s *fixture) serveHost(host *lab.Host, protocol flow.Protocol, like netip.Addr, port uint16) netip.AddrPort {
	s.t.Helper()
	a, _ := host.Address(like)
	at := netip.AddrPortFrom(a, port)
	if _, err := host.Serve(protocol, at); err != nil {
		s.t.Fatal(err)
	}
	return at
}

func (s *fixture) probe(from *lab.Host, protocol flow.Protocol, to netip.AddrPort) lab.Result {
	s.t.Helper()
	r, err := from.Probe(context.Background(), protocol, netip.Addr{}, to, time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

var (
	like4 = netip.MustParseAddr("0.0.0.0")
	like6 = netip.MustParseAddr("::")
)

func TestVerdictsOnTheWire(t *testing.T) {
	for _, deny := range []ruleset.Deny{ruleset.Drop, ruleset.Reject} {
		t.Run(string(deny), func(t *testing.T) {
			denied := lab.TimedOut
			if deny == ruleset.Reject {
				denied = lab.Rejected
			}
			s := newFixture(t, deny, func(f flow.Flow) rule.Verdict {
				if f.DstPort == 80 {
					return rule.Allow
				}
				return rule.Deny
			})
			for _, like := range []netip.Addr{like4, like6} {
				for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
					open := s.serve(s.two, protocol, like, 80)
					closed := s.serve(s.two, protocol, like, 81)
					other := s.serve(s.one, protocol, like, 81)
					if got := s.probe(s.one.Host, protocol, open); got != lab.Connected {
						t.Errorf("%s to %s: %s, want it allowed", protocol, open, got)
					}
					if got := s.probe(s.one.Host, protocol, closed); got != denied {
						t.Errorf("%s to %s: %s, want %s", protocol, closed, got, denied)
					}
					if got := s.probe(s.node.Host, protocol, closed); got != lab.Connected {
						t.Errorf("%s from the node to %s: %s, want it allowed (S40)", protocol, closed, got)
					}
					if got := s.probe(s.two.Host, protocol, other); got != lab.Connected {
						t.Errorf("%s to %s, which is not isolated: %s, want it allowed", protocol, other, got)
					}
				}
			}
			st, err := s.engine.Status()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", st)
			if st.Verdicts.Accepted == 0 || st.Verdicts.Denied == 0 || st.Verdicts.VerdictErrors != 0 || st.Verdicts.Waiting != 0 {
				t.Errorf("verdicts: %+v", st.Verdicts)
			}
		})
	}
}

// TestAcceptedFlowsStayInTheKernel checks that after the first packet of an accepted flow, no
// further packet of the flow enters user space, not even after a restart of the engine.
func TestAcceptedFlowsStayInTheKernel(t *testing.T) {
	var evaluated atomic.Uint64
	s := newFixture(t, ruleset.Drop, func(flow.Flow) rule.Verdict { evaluated.Add(1); return rule.Allow })
	at := s.serve(s.two, flow.TCP, like4, 80)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := s.one.Dial(ctx, flow.TCP, netip.Addr{}, at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := lab.Download(conn, 1<<20); err != nil {
		t.Fatal(err)
	}
	if got := evaluated.Load(); got != 1 {
		t.Errorf("%d packets were evaluated, want 1", got)
	}
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	if err := lab.Download(conn, 1<<20); err != nil {
		t.Fatalf("without workers: %v", err)
	}
	s.start(allow)
	if err := lab.Download(conn, 1<<20); err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	if st, err := s.engine.Status(); err != nil || st.Verdicts.Packets != 0 {
		t.Errorf("after a restart %d packets entered user space (%v), want none", st.Verdicts.Packets, err)
	}
}

func allow(flow.Flow) rule.Verdict { return rule.Allow }

func deny(flow.Flow) rule.Verdict { return rule.Deny }

// TestOpenConnectionsAreReevaluated tests row S50 of docs/semantics.md. If a generation denies
// a connection, no packet of the connection passes the node after the generation has been
// acknowledged. The row applies to both directions and to connections of any age.
func TestOpenConnectionsAreReevaluated(t *testing.T) {
	for _, how := range []ruleset.Deny{ruleset.Drop, ruleset.Reject} {
		for _, like := range []netip.Addr{like4, like6} {
			t.Run(string(how)+" "+like.String(), func(t *testing.T) {
				s := newFixture(t, how, allow)
				at := s.serve(s.two, flow.TCP, like, 80)
				back := s.serve(s.one, flow.TCP, like, 80)
				cut, kept := s.dial(s.one, at), s.dial(s.two, back)
				s.use(deny)
				if err := lab.Download(cut, 1<<10); err == nil {
					t.Errorf("a connection continues that generation %d denies", s.number)
				}
				extend(t, kept)
				if err := lab.Download(kept, 1<<20); err != nil {
					t.Errorf("a connection was cut that every generation allows: %v", err)
				}
				// Row S51 of docs/semantics.md: if neither end has closed the connection, it
				// continues after it is allowed again.
				if how == ruleset.Drop {
					s.use(allow)
					extend(t, cut)
					if _, err := cut.Read(make([]byte, 1)); err != nil {
						t.Errorf("a connection that is allowed again does not continue: %v", err)
					}
				}
			})
		}
	}
}

// dial opens a connection and reads the server's greeting.
func (s *fixture) dial(from *lab.Pod, to netip.AddrPort) net.Conn {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	conn, err := from.Dial(ctx, flow.TCP, netip.Addr{}, to)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

func extend(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
}

func TestRulesAreRepaired(t *testing.T) {
	s := newFixture(t, ruleset.Reject, deny)
	at := s.serve(s.two, flow.TCP, like4, 80)
	for name, damage := range map[string][]string{
		"table deleted":   {"delete", "table", "inet", "sluice"},
		"everything gone": {"flush", "ruleset"},
		"a set flushed":   {"flush", "set", "inet", "sluice", "ingress4"},
		"a chain flushed": {"flush", "chain", "inet", "sluice", "enqueue"},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.status().Repairs
			var out []byte
			cmd := exec.Command("nft", damage...)
			begin := time.Now()
			if err := s.node.Do(func() (err error) { out, err = cmd.CombinedOutput(); return err }); err != nil {
				t.Fatalf("%v: %v\n%s", cmd, err, out)
			}
			// The counter of repairs can also increase because of an earlier modification.
			// So probe until the modification by this test is repaired.
			got := lab.Connected
			for s.status().Repairs == before || got != lab.Rejected {
				if time.Since(begin) > 5*time.Second {
					t.Fatalf("not repaired; the probe is %s, want it denied", got)
				}
				if s.status().Repairs > before {
					got = s.probe(s.one.Host, flow.TCP, at)
				}
			}
			t.Logf("repaired after %s", time.Since(begin))
		})
	}
}

func (s *fixture) status() report.Status {
	s.t.Helper()
	st, err := s.engine.Status()
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}
