package engine_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/handover"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// TestHandOver performs a series of hand-overs. It checks that no packet of an allowed
// connection is lost and that no denied packet is forwarded. A packet counts as lost if TCP
// retransmits the SYN or if a UDP datagram gets no reply. The test accepts as many losses as
// occur without hand-overs. It does not check how long a connection takes, because the duration
// depends on the load of the machine. BenchmarkHandOver measures the duration.
func TestHandOver(t *testing.T) {
	for _, policy := range []ruleset.FailurePolicy{ruleset.FailClosed, ruleset.FailOpen} {
		t.Run(string(policy), func(t *testing.T) {
			p := newPlane(t)
			p.config.FailurePolicy = policy
			p.handOvers(10, 400)
		})
	}
}

// handOvers performs a number of hand-overs under load and returns the measured figures.
func (p *plane) handOvers(number, perSecond int) figures {
	t := p.t
	old := p.start("dataplane 0", nil)
	p.enforces(old)
	control := p.startLoad(perSecond)
	<-time.After(2 * time.Second)
	without := control.end()
	load := p.startLoad(perSecond)
	begin := time.Now()
	for i := range number {
		next := p.start(fmt.Sprintf("dataplane %d", i+1), nil)
		p.enforces(next)
		must(t, old.Stop())
		old = next
	}
	took := time.Since(begin)
	with := load.end()
	must(t, old.Stop())
	t.Logf("without hand-overs: %s", without)
	t.Logf("%d hand-overs in %s: %s", number, took, with)
	if with.lost > without.lost || with.repeated > without.repeated || with.passed > 0 || with.opened == 0 {
		t.Errorf("want no lost packet, and no denied connection that passes")
	}
	return with
}

// BenchmarkHandOver measures hand-overs at 2,000 connections per second. Run it with
// -benchtime 50x.
func BenchmarkHandOver(b *testing.B) {
	f := newPlane(b).handOvers(b.N, 2000)
	b.ReportMetric(float64(f.slowest.Milliseconds()), "ms-slowest")
}

// steps lists the steps of a hand-over at which the test kills the successor or the predecessor.
// Each step is the text of a log line.
type steps struct{ successor, predecessor []string }

var (
	allSteps = steps{
		successor: []string{
			"requesting the table", "the predecessor has yielded", "taking the table", "enforcing",
			"requesting that the predecessor drains", "re-evaluating", "generation is acknowledged",
		},
		predecessor: []string{"stopped writing the table", "yielded to another", "draining the queues", "drained the queues"},
	}
	someSteps = steps{successor: []string{"taking the table", "enforcing"}, predecessor: []string{"yielded to another"}}
)

// TestHandOverKilled kills one of the two dataplanes at each step of a hand-over. It checks
// that the other dataplane then enforces policies, and that no denied packet passes at any
// time.
func TestHandOverKilled(t *testing.T) {
	for policy, steps := range map[ruleset.FailurePolicy]steps{ruleset.FailClosed: allSteps, ruleset.FailOpen: someSteps} {
		p := newPlane(t)
		p.config.FailurePolicy = policy
		for _, step := range steps.successor {
			t.Run(string(policy)+", successor while "+step, func(t *testing.T) {
				old := p.start("old", nil)
				p.enforces(old)
				next := p.start("new", func(c *dataplaneConfig) { c.Killed = step })
				<-next.Ended()
				p.enforcesAfterKill(t, old)
			})
			t.Run(string(policy)+", predecessor while the successor is "+step, func(t *testing.T) {
				old := p.start("old", nil)
				p.enforces(old)
				next := p.start("new", func(c *dataplaneConfig) { c.Stopped = step })
				eventually.NoError(t, func() error { return stopped(next) })
				old.Kill()
				must(t, next.Signal(syscall.SIGCONT))
				p.enforcesAfterKill(t, next)
			})
		}
		for _, step := range steps.predecessor {
			t.Run(string(policy)+", predecessor while "+step, func(t *testing.T) {
				old := p.start("old", func(c *dataplaneConfig) { c.Killed = step })
				p.enforces(old)
				next := p.start("new", nil)
				<-old.Ended()
				p.enforcesAfterKill(t, next)
			})
		}
	}
}

// enforcesAfterKill checks that a dataplane enforces a new tree, evaluates packets and repairs
// the rules. It then kills the dataplane.
func (p *plane) enforcesAfterKill(t *testing.T, r *running) {
	t.Helper()
	outer := p.t
	p.t = t
	defer func() { p.t = outer }()
	p.apply(p.delta())
	p.enforces(r)
	p.check(t)
	before := p.enforces(r).Repairs
	p.nft(t, "flush", "chain", "inet", "sluice", "enqueue")
	eventually.NoError(t, func() error {
		if s := p.enforces(r); s.Repairs == before {
			return fmt.Errorf("not repaired: %+v", s)
		}
		return nil
	})
	p.check(t)
	r.Kill()
}

// check checks that an allowed connection can be opened and that a denied connection cannot.
func (p *plane) check(t *testing.T) {
	t.Helper()
	for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
		for at, want := range map[netip.AddrPort]lab.Result{p.allowed: lab.Connected, p.refused: lab.TimedOut} {
			server, err := p.two.Serve(protocol, at)
			must(t, err)
			timeout := 5 * time.Second
			if want == lab.TimedOut {
				timeout = 300 * time.Millisecond
			}
			got, err := p.one.Probe(t.Context(), protocol, netip.Addr{}, at, timeout)
			must(t, err)
			if got != want {
				t.Errorf("%s to %s: %s, want %s", protocol, at, got, want)
			}
			server.Close()
		}
	}
}

func (p *plane) nft(t *testing.T, args ...string) string {
	t.Helper()
	return runNft(t, p.node, "", args...)
}

// stopped returns an error unless all threads of a process are suspended.
func stopped(r *running) error {
	if r.HasEnded() {
		return fmt.Errorf("%s ended: %s", r.Name(), r.Log())
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", r.PID()))
	if err != nil {
		return err
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(text), ") T ") {
			return fmt.Errorf("a thread of %s is not suspended: %s", r.Name(), text)
		}
	}
	return nil
}

// checkWaits returns an error unless the log of a dataplane contains the given reason for waiting.
func checkWaits(r *running, reason string) error {
	if !strings.Contains(r.Log(), reason) {
		return fmt.Errorf("the new dataplane does not wait:\n%s", r.Log())
	}
	return nil
}

// TestHandOverWhilePacketsWait checks that the old dataplane returns the verdicts for packets
// that wait in its queues during a hand-over.
func TestHandOverWhilePacketsWait(t *testing.T) {
	p := newPlane(t)
	old := p.start("old", func(c *dataplaneConfig) { c.Stopped = "stopped writing the table" })
	p.enforces(old)
	server, err := p.two.Serve(flow.UDP, p.allowed)
	must(t, err)
	denied, err := p.two.Serve(flow.UDP, p.refused)
	must(t, err)
	next := p.start("new", nil)
	eventually.NoError(t, func() error { return stopped(old) })
	const packets = 200
	var conns []net.Conn
	for range packets {
		for _, to := range []netip.AddrPort{p.allowed, p.refused} {
			conn, err := p.one.Dial(t.Context(), flow.UDP, netip.Addr{}, to)
			must(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := conn.Write([]byte("?")); err != nil {
				t.Fatal(err)
			}
			if to == p.allowed {
				conns = append(conns, conn)
			}
		}
	}
	if n := server.Served(); n > 0 {
		t.Fatalf("%d packets passed while the predecessor was suspended", n)
	}
	must(t, old.Signal(syscall.SIGCONT))
	for i, conn := range conns {
		must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatalf("packet %d of %d is lost: %v", i, packets, err)
		}
	}
	p.enforces(next)
	if n := denied.Served(); n > 0 {
		t.Errorf("%d denied packets passed", n)
	}
}

// TestHandOverFromOldVersion checks that an old dataplane without support for hand-over keeps the
// table until it ends. The new dataplane must not change the rules before that. Meanwhile, the new
// dataplane reports that it is ready, because otherwise a rollout would not end the old one.
func TestHandOverFromOldVersion(t *testing.T) {
	p := newPlane(t)
	old := p.start("old", func(c *dataplaneConfig) { c.Engine = true })
	p.enforces(old)
	next := p.start("new", nil)
	eventually.NoError(t, func() error { return checkWaits(next, "another program has bound queues") })
	p.check(t)
	if s := p.enforces(old); s.Repairs != 0 {
		t.Errorf("the old dataplane had to repair the rules %d times", s.Repairs)
	}
	must(t, old.Stop())
	p.enforces(next)
	p.check(t)
}

// TestHandOverFromHungDataplane checks that a dataplane that does not respond keeps its queues
// until it is killed.
func TestHandOverFromHungDataplane(t *testing.T) {
	p := newPlane(t)
	old := p.start("old", nil)
	p.enforces(old)
	old.Pause(t)
	next := p.start("new", nil)
	eventually.NoError(t, func() error { return checkWaits(next, "does not yield") })
	old.Kill()
	p.enforces(next)
	p.check(t)
}

// TestHandOverToOtherQueuesAndMarks checks hand-overs to successors that use different queues
// or mark bits than their predecessor. No denied packet may pass during these hand-overs.
func TestHandOverToOtherQueuesAndMarks(t *testing.T) {
	p := newPlane(t)
	old := p.start("0", nil)
	p.enforces(old)
	load := p.startLoad(200)
	for i, change := range []func(*dataplaneConfig){
		func(c *dataplaneConfig) { c.Mask = 0x600 },
		func(c *dataplaneConfig) { c.Mask, c.Queues = 0x600, 4 },
		func(c *dataplaneConfig) { c.Base, c.Queues = 101, 1 },
		func(*dataplaneConfig) {},
	} {
		next := p.start(fmt.Sprint(i+1), change)
		p.enforces(next)
		must(t, old.Stop())
		old = next
	}
	f := load.end()
	t.Log(f)
	if f.passed > 0 {
		t.Error("denied packets passed")
	}
}

// TestUninstallWhileTwoRun checks that an uninstallation succeeds while one dataplane enforces
// policies and another dataplane waits. Neither dataplane may install the rules again before a
// tree is published.
func TestUninstallWhileTwoRun(t *testing.T) {
	p := newPlane(t)
	idle := p.start("idle", nil)
	p.enforces(idle)
	active := p.start("active", nil)
	p.enforces(active)
	must(t, p.node.Do(func() error {
		lock, err := handover.Seize(t.Context(), p.state.Path(), true, nil)
		if err != nil {
			return err
		}
		if err := ruleset.Uninstall(); err != nil {
			return err
		}
		if _, err := statedir.Remove(p.state.Path()); err != nil {
			return err
		}
		return lock.Remove()
	}))
	eventually.NoError(t, func() error {
		if !strings.Contains(active.Log()+idle.Log(), "the trees have been removed") {
			return fmt.Errorf("no dataplane waits for a tree:\n%s", active.Log())
		}
		return nil
	})
	if out := p.nft(t, "list", "ruleset"); out != "" {
		t.Errorf("after the uninstallation there are rules:\n%s", out)
	}
	var err error
	p.trees, err = statedir.NewPublisher(p.state.Path())
	must(t, err)
	p.apply(p.delta())
	eventually.NoError(t, func() error {
		if !strings.Contains(p.nft(t, "list", "ruleset"), "table inet sluice") {
			return fmt.Errorf("not installed again:\n%s\n%s", idle.Log(), active.Log())
		}
		return nil
	})
	p.check(t)
}
