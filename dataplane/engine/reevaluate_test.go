package engine_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	timo "github.com/ti-mo/conntrack"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/lab"
)

func nft(s *fixture, text string) {
	s.t.Helper()
	runNft(s.t, s.node, text, "-f", "-")
}

// runNft runs nft on a node with a text as its standard input, and returns its output.
func runNft(t *testing.T, node *lab.Node, text string, args ...string) string {
	t.Helper()
	cmd := exec.Command("nft", args...)
	cmd.Stdin = strings.NewReader(text)
	var out []byte
	if err := node.Do(func() (err error) { out, err = cmd.CombinedOutput(); return err }); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// TestExpectedConnectionsAreEvaluated checks that the workers evaluate a connection that a
// conntrack helper expects, such as the data connection of FTP. The kernel copies the
// connection mark of the master connection to such a connection (init_conntrack in
// net/netfilter/nf_conntrack_core.c).
func TestExpectedConnectionsAreEvaluated(t *testing.T) {
	s := newFixture(t, ruleset.Drop, allow)
	isolated := ruleset.Addresses{Egress: s.two.Addresses(), Ingress: s.two.Addresses()}
	s.useGeneration(generation.Generation{Number: 2, Evaluator: onlyTo80{}, Isolated: isolated})
	// The server opens the expected connection to the client, as in active FTP.
	nft(s, `table ip helper {
	ct expectation e { protocol tcp; dport 9876; timeout 1m; size 12; l3proto ip; }
	chain c { type filter hook forward priority -10; tcp dport 80 ct expectation set "e"; }
}`)
	at := s.serve(s.one, flow.TCP, like4, 80)
	other := s.serve(s.two, flow.TCP, like4, 9876)
	if got := s.probe(s.one.Host, flow.TCP, other); got != lab.TimedOut {
		t.Errorf("before: %s", got)
	}
	master := s.dial(s.two, at)
	defer master.Close()
	if got := s.probe(s.one.Host, flow.TCP, other); got != lab.TimedOut {
		t.Errorf("a connection that a helper expects: %s, want it denied: no rule allows port 9876", got)
	}
}

// onlyTo80 allows flows to port 80 only.
type onlyTo80 struct{}

func (onlyTo80) Evaluate(f flow.Flow) rule.Decision {
	if f.DstPort == 80 {
		yes := rule.Side{Verdict: rule.Allow, Reason: rule.Matched}
		return rule.Decision{Egress: yes, Ingress: yes}
	}
	no := rule.Side{Reason: rule.NoRuleMatched}
	return rule.Decision{Egress: no, Ingress: no}
}

// onlyToItself allows only connections from a pod to the same pod.
type onlyToItself struct{}

func (onlyToItself) Evaluate(f flow.Flow) rule.Decision {
	if f.Src == f.Dst {
		self := rule.Side{Verdict: rule.Allow, Reason: rule.SamePod}
		return rule.Decision{Egress: self, Ingress: self}
	}
	no := rule.Side{Reason: rule.NoRuleMatched}
	return rule.Decision{Egress: no, Ingress: no}
}

// TestConnectionToOwnServiceContinuesWithoutWorkers tests row S41 of docs/semantics.md. A pod
// opens a connection to itself through its own Service. After it has been accepted, the connection
// needs no worker. It must continue when a new generation is used and after the workers have
// ended.
func TestConnectionToOwnServiceContinuesWithoutWorkers(t *testing.T) {
	s := newFixture(t, ruleset.Drop, allow)
	a, _ := s.two.Address(like4)
	nft(s, `table ip service {
	chain pre { type nat hook prerouting priority -100; ip daddr 10.99.0.1 tcp dport 80 dnat to `+a.String()+`:80; }
	chain post { type nat hook postrouting priority 100; ip saddr `+a.String()+` ip daddr `+a.String()+` masquerade; }
}`)
	isolated := ruleset.Addresses{Egress: s.two.Addresses(), Ingress: s.two.Addresses()}
	use := func(n uint64) {
		s.useGeneration(generation.Generation{Number: n, Evaluator: onlyToItself{}, Isolated: isolated})
	}
	use(2)
	s.serve(s.two, flow.TCP, like4, 80)
	conn := s.dial(s.two, netip.MustParseAddrPort("10.99.0.1:80"))
	extend(t, conn)
	if err := lab.Download(conn, 1<<16); err != nil {
		t.Fatal(err)
	}
	use(3)
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := lab.Download(conn, 1<<16); err != nil {
		t.Errorf("a pod's own connection ended with the workers: %v", err)
	}
}

// TestWalksEndUnderFastGenerations publishes generations faster than walks end. It checks that
// walks still end, and that all marks finally contain verdicts of the last generation.
func TestWalksEndUnderFastGenerations(t *testing.T) {
	const connections, least = 10000, 100
	s := newFixture(t, ruleset.Drop, allow)
	to, _ := s.two.Address(like4)
	if err := s.node.Do(func() error {
		other, err := timo.Dial(nil)
		if err != nil {
			return err
		}
		defer other.Close()
		for i := range connections {
			from := netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)})
			if err := other.Create(timo.NewFlow(uint8(flow.TCP), 0, from, to, 40000, 80, 600, 0)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	begin, first := time.Now(), s.status()
	for i := 0; i < least || s.status().Reevaluated.Walks < first.Reevaluated.Walks+3; i++ {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("%d generations within 20 s, but only these walks ended: %+v", i, s.status().Reevaluated)
		}
		if err := s.engine.Use(s.generation([]verdictFunc{allow, deny}[i%2])); err != nil {
			t.Fatal(err)
		}
	}
	if now := s.status(); now.Generation <= first.Generation {
		t.Errorf("generation %d is still the acknowledged one after %d more generations", now.Generation, s.number-first.Generation)
	}
	s.use(deny)
	if last := s.status().Reevaluated; last.Last.Connections < connections {
		t.Errorf("the last walk evaluated %d connections, want at least %d", last.Last.Connections, connections)
	}
	before := s.status().Reevaluated
	s.use(deny)
	if after := s.status().Reevaluated; after.Accepted != before.Accepted || after.Denied != before.Denied {
		t.Errorf("another walk by the same policy changed marks: %+v, before %+v", after, before)
	}
}
