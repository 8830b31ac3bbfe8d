package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/process"
)

// asDataplane is the name of an environment variable. If it contains a dataplaneConfig, this
// test binary runs a dataplane instead of tests.
const asDataplane = "SLUICE_ENGINE_TEST_DATAPLANE"

func TestMain(m *testing.M) {
	if text := os.Getenv(asDataplane); text != "" {
		if err := enforce(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// dataplaneConfig configures a dataplane that runs as a process.
type dataplaneConfig struct {
	StateDir      string
	Base, Queues  uint16
	Mask          uint32
	FailurePolicy ruleset.FailurePolicy
	// Killed and Stopped are steps of a hand-over, or "". When the process reaches the step
	// Killed, it is killed. When it reaches the step Stopped, it is suspended.
	Killed, Stopped string
	// Engine is true if the process runs only an engine and does not take the locks for a
	// hand-over, like the versions that did not support hand-over.
	Engine bool
}

func enforce(text string) error {
	var c dataplaneConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	marks, err := ruleset.MarksOf(c.Mask)
	if err != nil {
		return err
	}
	config := engine.Config{
		Marks: marks, QueueBase: c.Base, Queues: c.Queues, FailurePolicy: c.FailurePolicy, Deny: ruleset.Drop, Log: c.log(),
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if c.Engine {
		return c.runEngine(ctx, config)
	}
	endpoints := &status.Endpoints{StateDir: c.StateDir, Log: config.Log}
	defer endpoints.Close()
	d := engine.New(c.StateDir, config, endpoints)
	endpoints.Source = status.Source{Status: d.Status}
	return errors.Join(d.Run(ctx), d.Close())
}

// runEngine runs an engine that enforces the current tree. It does not take the locks with
// which one dataplane hands the table over to the next one.
func (c *dataplaneConfig) runEngine(ctx context.Context, config engine.Config) error {
	t, err := statedir.OpenCurrent(c.StateDir)
	if err != nil {
		return err
	}
	e, err := engine.Start(config, generation.Of(t))
	if err != nil {
		return err
	}
	server, err := status.Serve(c.StateDir, status.Source{Status: e.Status})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return errors.Join(server.Close(), e.Close())
}

// log returns a logger that writes to standard error. When the process logs the step Killed,
// the logger kills the process. When the process logs the step Stopped for the first time, the
// logger suspends the process.
func (c *dataplaneConfig) log() logr.Logger {
	self := os.Getpid()
	suspend := sync.OnceFunc(func() {
		// Lock the goroutine to its thread. A signal to this thread takes effect before the
		// system call returns.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_ = unix.Tgkill(self, unix.Gettid(), unix.SIGSTOP)
	})
	return funcr.New(func(_, args string) {
		fmt.Fprintln(os.Stderr, args)
		if c.Killed != "" && strings.Contains(args, c.Killed) {
			_ = syscall.Kill(self, syscall.SIGKILL)
			select {}
		}
		if c.Stopped != "" && strings.Contains(args, c.Stopped) {
			suspend()
		}
	}, funcr.Options{Verbosity: 1, LogTimestamp: true})
}

// plane is a node with two pods on which dataplanes run as processes. Pod one sends to pod two.
// Pod two is isolated for ingress, and its policies allow only port 80.
type plane struct {
	t                testing.TB
	node             *lab.Node
	one, two         *lab.Pod
	state            *lab.StateDir
	trees            *statedir.Publisher
	builder          *build.Builder
	config           dataplaneConfig
	allowed, refused netip.AddrPort
	// started lists the dataplanes in the order in which they were started.
	started []*running
}

// running is a running dataplane process and the time at which it was started.
type running struct {
	*process.Process
	at time.Time
}

func newPlane(t testing.TB) *plane {
	t.Helper()
	l, err := lab.New()
	must(t, err)
	t.Cleanup(l.Close)
	p := &plane{t: t}
	p.node, err = l.AddNode("node")
	must(t, err)
	for name, pod := range map[string]**lab.Pod{"one": &p.one, "two": &p.two} {
		*pod, err = p.node.AddPod(name)
		must(t, err)
	}
	p.state, err = lab.NewStateDir()
	must(t, err)
	t.Cleanup(func() { must(t, p.state.Close()) })
	p.trees, err = statedir.NewPublisher(p.state.Path())
	must(t, err)
	p.builder = build.New("node")
	p.apply(p.delta())
	p.config = dataplaneConfig{StateDir: p.state.Path(), Base: 100, Queues: 2, Mask: ruleset.DefaultMask, FailurePolicy: ruleset.FailClosed}
	address, _ := p.two.Address(like4)
	p.allowed, p.refused = netip.AddrPortFrom(address, 80), netip.AddrPortFrom(address, 81)
	return p
}

// delta returns a change of the rules that isolates pod two for ingress and allows only
// connections to port 80 of the pod.
func (p *plane) delta() rule.Delta {
	d := rule.Delta{
		Pods: []rule.PodChange{{ID: 1, Pod: &rule.Pod{Name: "default/two", Ingress: 1}}},
		Programs: []rule.ProgramChange{{ID: 1, Program: &rule.Program{Tier: rule.NetworkPolicyTier, IsolatedBy: []string{"default/p"}, Rules: []rule.Rule{{
			Action: rule.ActionAccept, Policy: "default/p",
			Matches: []rule.Match{{Any: true, Ports: []rule.Ports{
				{Protocol: uint8(flow.TCP), First: 80, Last: 80}, {Protocol: uint8(flow.UDP), First: 80, Last: 80},
			}}},
		}}}}},
	}
	for _, a := range p.two.Addresses() {
		d.Addresses = append(d.Addresses, rule.AddressChange{Addr: a, Owner: rule.Owner{Kind: rule.LocalPod, Pod: 1}})
	}
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// apply publishes a tree and returns its generation.
func (p *plane) apply(d rule.Delta) uint64 {
	p.t.Helper()
	must(p.t, p.builder.Apply(d))
	g, err := p.trees.Publish(p.builder)
	must(p.t, err)
	return g
}

// start starts a dataplane. The function `change` may modify the configuration. It may be nil.
func (p *plane) start(name string, change func(*dataplaneConfig)) *running {
	p.t.Helper()
	config := p.config
	if change != nil {
		change(&config)
	}
	text, err := json.Marshal(config)
	must(p.t, err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asDataplane+"="+string(text))
	r := &running{at: time.Now()}
	r.Process, err = process.Start(name, cmd, p.node.Start)
	must(p.t, err)
	p.started = append(p.started, r)
	p.t.Cleanup(func() {
		if !r.HasEnded() {
			r.Kill()
		}
		if p.t.Failed() {
			p.t.Logf("log of %s:\n%s", name, r.Log())
		}
	})
	return r
}

// enforces waits until the given dataplane enforces the newest generation and the state
// directory contains the status of this dataplane.
func (p *plane) enforces(r *running) (s report.Status) {
	p.t.Helper()
	eventually.NoError(p.t, func() (err error) {
		if r.HasEnded() {
			p.t.Fatalf("%s ended: %s\n%s", r.Name(), r.State(), r.Log())
		}
		if s, err = status.Read(p.t.Context(), p.state.Path()); err != nil {
			return fmt.Errorf("%w\n%s", err, r.Log())
		}
		if writer := p.writerOf(&s); writer != r || s.Generation == 0 || s.Generation < s.Published {
			return fmt.Errorf("%s has status %+v, want that of %s\n%s", writer.Name(), s, r.Name(), r.Log())
		}
		return nil
	})
	return s
}

// writerOf returns the dataplane process that wrote the status s.
func (p *plane) writerOf(s *report.Status) *running {
	for _, r := range slices.Backward(p.started) {
		if !s.Started.Before(r.at) {
			return r
		}
	}
	p.t.Fatalf("no dataplane was started at %s", s.Started)
	return nil
}
