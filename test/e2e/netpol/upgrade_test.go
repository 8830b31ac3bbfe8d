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

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/test/labcluster"
	"github.com/sluicenet/sluice/test/previous"
	"github.com/sluicenet/sluice/test/process"
)

// TestUpgrade upgrades a cluster from the previous version to the current source and back. Each step
// first replaces the operator, and then the processes of one node after another. Meanwhile, some
// connections stay open, and the test opens new connections. As in an upgrade of an installation, the
// CustomResourceDefinitions have already been replaced. They also stay when the other parts go back.
//
// The steps cover both orders of an upgrade on a node:
//
//   - With strategy Surge, the new dataplane starts first. It reads the trees of the old agent.
//   - If only the agents are replaced, the old dataplane reads the trees of the new agent.
func TestUpgrade(t *testing.T) {
	version, err := previous.Find("../../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the previous version is %s", version)
	old := filepath.Join(t.TempDir(), "sluice-previous")
	if err := version.Build(old); err != nil {
		t.Fatal(err)
	}
	var o operator
	defer func() { o.stop(t) }()
	s := newFixture(t, newClusterOf(t, labcluster.Options{Program: old, Pod: func(ctx context.Context, c *labcluster.Cluster) (corev1.PodTemplateSpec, error) {
		return o.install(ctx, c, old)
	}}))
	// This policy stays the same while other policies change. It allows only pods in namespace
	// y to connect to x/a.
	s.apply("x/sealed", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`)
	s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "x/* -> x/a denied")

	for _, step := range []struct {
		name    string
		replace func(*fixture, string)
		program string
	}{
		{"pods, Surge", (*fixture).surgePods, sluice},
		{"pods, Surge, back", (*fixture).surgePods, old},
		{"agents", (*fixture).upgradeAgents, sluice},
		{"dataplanes", (*fixture).upgradeDataplanes, sluice},
		{"pods, InPlace, back", (*fixture).replacePods, old},
	} {
		succeeded := s.Run(step.name, func(t *testing.T) {
			part := s.on(t)
			o.replace(part, step.program)
			before := part.generations()
			step.replace(part, step.program)
			part.wantNotOlder(before)
			part.wantEnforced("x/sealed")
		})
		if !succeeded {
			break
		}
	}
}

// generations returns the generation that is published on each node.
func (s *fixture) generations() map[string]uint64 {
	s.Helper()
	out := map[string]uint64{}
	for _, n := range s.cluster.Nodes() {
		generation, err := statedir.Published(n.StateDir())
		s.must(err)
		out[n.Name()] = generation
	}
	return out
}

// wantNotOlder fails the test if the generation of a node is lower than before.
func (s *fixture) wantNotOlder(before map[string]uint64) {
	s.Helper()
	for name, now := range s.generations() {
		if now < before[name] {
			s.Errorf("%s: generation %d after generation %d", name, now, before[name])
		}
	}
}

// on returns a copy of the fixture for a subtest.
func (s *fixture) on(t *testing.T) *fixture {
	part := *s
	part.T = t
	return &part
}

// traffic is the traffic to pod x/a during a step.
type traffic struct {
	refused          []*guard
	allowed, streams *load
}

func (s *fixture) startTraffic() *traffic {
	s.Helper()
	return &traffic{
		refused: []*guard{s.guard("z/b", "x/a"), s.guard("x/c", "x/a")},
		allowed: s.visits("y/b", "x/a"), streams: s.streams("y/a", "x/a"),
	}
}

// stop stops the traffic. It fails the test if a denied connection was opened, if an allowed
// connection failed, or if a packet of an accepted flow was lost.
func (t *traffic) stop() {
	for _, g := range t.refused {
		g.stop()
	}
	t.allowed.stop("new connections that are allowed")
	t.allowed.fixture.Logf("new connections that needed more than one SYN: %d", t.allowed.retransmitted)
	t.streams.stop("packets of accepted flows")
}

// surgePods replaces the pods of the nodes, like a rolling update of the DaemonSet with strategy
// Surge. It checks that each new connection is established with its first SYN, although both
// dataplanes of a node run at the same time. While the old agent and the new dataplane run, it changes
// a policy and replaces a pod.
func (s *fixture) surgePods(program string) {
	traffic := s.startTraffic()
	// replaced contains a pod of each node that is not an end of the traffic.
	replaced := []string{"y/c", "z/c", "z/a"}
	for i, n := range s.cluster.Nodes() {
		old := []*process.Process{n.Agent(), n.Dataplane()}
		s.must(n.Prepare())
		s.must(n.StartDataplane())
		s.must(n.WaitReady(s.Context(), "dataplane"))
		s.apply("x/changing", exceptSealed(denyIngress))
		s.replacePod(replaced[i], func(*corev1.Pod) {})
		s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "*/* -> x/b denied", "*/* -> z/* allowed")
		if i == 1 {
			// One node is upgraded, one is being upgraded, and one is not upgraded yet.
			s.wantEnforced("x/changing")
		}
		s.must(n.StartAgent())
		s.must(n.WaitReady(s.Context(), "agent"))
		for _, p := range old {
			s.must(p.Stop())
		}
		s.wantProgram(n.Agent(), program)
		s.wantProgram(n.Dataplane(), program)
		s.remove("x/changing")
		s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "*/* -> x/b allowed")
	}
	traffic.stop()
	if n := traffic.allowed.retransmitted; n > 0 {
		s.Errorf("%d new connections needed more than one SYN, want 0", n)
	}
}

// upgradeAgents replaces the agents while policies change. It checks that all verdicts are
// correct, and that no packet of an allowed flow is lost.
func (s *fixture) upgradeAgents(program string) {
	traffic := s.startTraffic()
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
	traffic.stop()
	s.remove("x/changing")
	s.remove("z/meanwhile")
	s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "*/* -> x/b allowed", "*/* -> z/* allowed")
}

// upgradeDataplanes replaces the dataplanes. It checks that no packet of an allowed flow is
// lost, and that denied connections remain denied. New connections must not fail, but can be
// delayed until a process has bound the queues again.
func (s *fixture) upgradeDataplanes(program string) {
	traffic := s.startTraffic()
	for _, n := range s.cluster.Nodes() {
		gap := s.watchListener(n)
		s.must(n.Dataplane().Stop())
		s.must(n.StartDataplane())
		s.must(n.WaitReady(s.Context(), "dataplane"))
		s.Logf("%s: without a listener for %s", n.Name(), gap().Round(time.Millisecond))
		s.wantProgram(n.Dataplane(), program)
		s.must(s.cluster.WaitEnforcedOn(s.Context(), n))
	}
	traffic.stop()
	s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "*/* -> x/b allowed")
}

// replacePods replaces the pods of the nodes, like a rolling update of the DaemonSet. On each
// node, it ends all processes of the old pod. Then it starts the init container of the new pod,
// and after that the other containers.
func (s *fixture) replacePods(program string) {
	traffic := s.startTraffic()
	for _, n := range s.cluster.Nodes() {
		gap := s.watchListener(n)
		for _, p := range []*process.Process{n.Agent(), n.Dataplane()} {
			s.must(p.Stop())
		}
		for _, start := range []func() error{n.Prepare, n.StartDataplane, n.StartAgent} {
			s.must(start())
		}
		s.must(n.WaitReady(s.Context(), "dataplane"))
		s.Logf("%s: without a listener for %s", n.Name(), gap().Round(time.Millisecond))
		s.wantProgram(n.Agent(), program)
		s.wantProgram(n.Dataplane(), program)
		s.must(s.cluster.WaitEnforcedOn(s.Context(), n))
	}
	traffic.stop()
	s.holds("y/* -> x/a allowed", "z/* -> x/a denied", "*/* -> x/b allowed")
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

// watchListener observes how many queues of a node have a listener. When the dataplane is ready
// again, the caller calls the returned function. It returns the time from the first moment at which a
// queue lost its listener to the last moment at which a queue got one. The new dataplane may have
// another number of queues than the old one.
func (s *fixture) watchListener(n *labcluster.Node) func() time.Duration {
	s.Helper()
	count, err := listeners(n)
	s.must(err)
	ctx, cancel := context.WithCancel(s.Context())
	var watching sync.WaitGroup
	var lost, found time.Time
	watching.Go(func() {
		for ; ctx.Err() == nil; wait(time.Millisecond) {
			var now int
			if now, err = listeners(n); err != nil {
				return
			}
			switch {
			case now < count && lost.IsZero():
				lost = time.Now()
			case now > count:
				found = time.Now()
			}
			count = now
		}
	})
	s.Cleanup(func() { cancel(); watching.Wait() })
	return func() time.Duration {
		s.Helper()
		cancel()
		watching.Wait()
		s.must(err)
		if lost.IsZero() || found.Before(lost) {
			s.Fatalf("%s: %d queues have a listener, but no queue lost its listener and got another one:\n%s", n.Name(), count, n.Dataplane().Log())
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
