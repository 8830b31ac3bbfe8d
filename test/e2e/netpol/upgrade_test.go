package netpol_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicenet/sluice/test/labcluster"
	"github.com/sluicenet/sluice/test/process"
)

// TestUpgrade replaces the processes of the nodes with processes of another version, one node
// after another: first those of the previous release with those of the current source, and then
// these with another build of the current source. During the upgrade, some connections stay open,
// and the test opens new connections.
func TestUpgrade(t *testing.T) {
	previous, version := previousVersion(t)
	t.Logf("upgrading from %s", version)
	next := filepath.Join(t.TempDir(), "sluice")
	if err := build(next, "lab-next"); err != nil {
		t.Fatal(err)
	}
	s := newFixture(t, newClusterOf(t, previous))
	// This policy stays the same while other policies change. It allows only pods in namespace
	// y to connect to x/a.
	s.apply("x/sealed", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`)
	s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "x/* -> x/a denied")

	s.Run("agents", func(t *testing.T) { s.on(t).upgradeAgents(sluice) })
	s.Run("dataplanes", func(t *testing.T) { s.on(t).upgradeDataplanes(sluice) })
	s.Run("pods, to another build", func(t *testing.T) { s.on(t).replacePods(next) })
}

// on returns a copy of the fixture for a subtest.
func (s *fixture) on(t *testing.T) *fixture {
	part := *s
	part.T = t
	return &part
}

// upgradeAgents replaces the agents while policies change. It checks that all verdicts are
// correct, and that no packet of an allowed flow is lost.
func (s *fixture) upgradeAgents(program string) {
	s.cluster.SetProgram(program)
	refused := []*guard{s.guard("z/b", "x/a"), s.guard("x/c", "x/a")}
	allowed, streams := s.visits("y/b", "x/a"), s.streams("y/a", "x/a")
	specs := []string{denyIngress, allowIn, denyAll, allowOut}
	const rounds = 12
	for round := range rounds {
		s.apply("x/changing", exceptSealed(specs[round%len(specs)]))
		s.label("z", "round", fmt.Sprint(round))
		if round%4 == 0 {
			n := s.cluster.Node(round / 4 % len(s.cluster.Nodes()))
			s.must(n.Agent().Stop())
			s.apply("z/meanwhile", specs[round/4])
			s.must(n.StartAgent())
			s.wantProgram(n.Agent(), program)
		}
		wait(300 * time.Millisecond)
	}
	s.must(s.cluster.WaitEnforced(s.Context()))
	s.stopAll(refused, allowed, streams)
	s.remove("x/changing")
	s.remove("z/meanwhile")
	s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "*/* -> x/b allowed", "*/* -> z/* allowed")
}

// upgradeDataplanes replaces the dataplanes. It checks that no packet of an allowed flow is
// lost, and that denied connections remain denied. New connections must not fail, but can be
// delayed until a process has bound the queues again.
func (s *fixture) upgradeDataplanes(program string) {
	s.cluster.SetProgram(program)
	refused := []*guard{s.guard("z/b", "x/a"), s.guard("x/c", "x/a")}
	allowed, streams := s.visits("y/b", "x/a"), s.streams("y/a", "x/a")
	for _, n := range s.cluster.Nodes() {
		gap := s.watchListener(n)
		s.must(n.Dataplane().Stop())
		s.must(n.StartDataplane())
		s.Logf("%s: without a listener for %s", n.Name(), gap().Round(time.Millisecond))
		s.wantProgram(n.Dataplane(), program)
		s.must(s.cluster.WaitEnforcedOn(s.Context(), n))
	}
	s.stopAll(refused, allowed, streams)
	s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "*/* -> x/b allowed")
}

// replacePods replaces the pods of the nodes, like a rolling update of the DaemonSet. On each
// node, it ends all processes of the old pod. Then it starts the init container of the new pod,
// and after that the other containers.
func (s *fixture) replacePods(program string) {
	s.cluster.SetProgram(program)
	refused := []*guard{s.guard("z/b", "x/a"), s.guard("x/c", "x/a")}
	allowed, streams := s.visits("y/b", "x/a"), s.streams("y/a", "x/a")
	for _, n := range s.cluster.Nodes() {
		gap := s.watchListener(n)
		for _, p := range []*process.Process{n.Agent(), n.Dataplane()} {
			s.must(p.Stop())
		}
		for _, start := range []func() error{n.Prepare, n.StartDataplane, n.StartAgent} {
			s.must(start())
		}
		s.Logf("%s: without a listener for %s", n.Name(), gap().Round(time.Millisecond))
		s.wantProgram(n.Agent(), program)
		s.wantProgram(n.Dataplane(), program)
		s.must(s.cluster.WaitEnforcedOn(s.Context(), n))
	}
	s.stopAll(refused, allowed, streams)
	s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "*/* -> x/b allowed")
}

func (s *fixture) stopAll(refused []*guard, allowed, streams *load) {
	s.Helper()
	for _, g := range refused {
		g.stop()
	}
	allowed.stop("new connections that are allowed")
	streams.stop("packets of accepted flows")
}

// wantProgram fails the test unless the process runs the given build of the program.
func (s *fixture) wantProgram(p *process.Process, program string) {
	s.Helper()
	want, err := os.Stat(program)
	s.must(err)
	got, err := os.Stat(fmt.Sprintf("/proc/%d/exe", p.PID()))
	s.must(err)
	if !os.SameFile(want, got) {
		s.Errorf("process %d is not of the build %s", p.PID(), program)
	}
}

// listenerTime is the maximum time until all queues of a node have a listener again.
const listenerTime = 30 * time.Second

// watchListener observes how many queues of a node have a listener. The returned function waits
// for two events: first, at least one queue has no listener, and then all queues have a listener
// again. It returns the time between these events.
func (s *fixture) watchListener(n *labcluster.Node) func() time.Duration {
	s.Helper()
	all, err := listeners(n)
	s.must(err)
	ctx, cancel := context.WithTimeout(s.Context(), listenerTime)
	var watching sync.WaitGroup
	var lost, found time.Time
	watching.Go(func() {
		for ; ctx.Err() == nil && found.IsZero(); wait(time.Millisecond) {
			var now int
			if now, err = listeners(n); err != nil {
				return
			}
			switch {
			case now < all && lost.IsZero():
				lost = time.Now()
			case now >= all && !lost.IsZero():
				found = time.Now()
			}
		}
	})
	return func() time.Duration {
		s.Helper()
		watching.Wait()
		cancel()
		s.must(err)
		if found.IsZero() {
			s.Fatalf("%s: no listener again within %s:\n%s", n.Name(), listenerTime, n.Dataplane().Log())
		}
		return found.Sub(lost)
	}
}

// listeners returns the number of queues on a node that have a listener. The file
// nfnetlink_queue contains one line for each of these queues (seq_show in
// net/netfilter/nfnetlink_queue.c).
func listeners(n *labcluster.Node) (count int, err error) {
	err = n.Host().Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
		count = strings.Count(string(text), "\n")
		return err
	})
	return count, err
}
