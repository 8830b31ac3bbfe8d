package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/test/lab"
)

// DefaultRefusal is how long a connection waits before its silence counts as a
// refusal: longer than TCP waits before it sends its first packet again.
const DefaultRefusal = 1200 * time.Millisecond

// Options say what to show.
type Options struct {
	// Title says what the manifests are.
	Title string
	// Set are the manifests.
	Set *inventory.Set
	// Ports are tried; none means those that policies and containers name.
	Ports []Port
	// Changes happen after the first round; none means that the policy behind
	// most refusals goes and comes back.
	Changes []Change
	// Refusal is how long a connection waits before its silence counts as a
	// refusal; 0 means DefaultRefusal.
	Refusal time.Duration
	// Program is the sluice binary that is started as the dataplane. Name is what
	// a user types for it; empty means "sluice".
	Program, Name string
	// Reported is called when the report is complete; it may be nil.
	Reported func(*Report) error
	// Keep leaves everything running after that until the context ends.
	Keep bool
	// Out gets the page for people. Steps alone leaves out all but the steps.
	Out   io.Writer
	Steps bool
}

// show is one run of the demo.
type show struct {
	Options
	page    *page
	stage   *stage
	state   *lab.StateDir
	policy  *policy.Compiler
	builder *tree.Builder
	trees   *tree.Publisher
	plane   *dataplane
	report  *Report
}

// Run runs the demo. The error says why it could not be run to its end; that
// wire and policies differ is no error but in the report. The end of the context
// is an error, unless it comes while everything is kept running. When Run
// returns, and also when the process is killed before, nothing is left of it.
func Run(ctx context.Context, o Options) (*Report, error) {
	s := &show{Options: o, page: newPage(o.Out), report: &Report{Title: o.Title}}
	defer s.close()
	if s.Refusal == 0 {
		s.Refusal = DefaultRefusal
	}
	if s.Name == "" {
		s.Name = "sluice"
	}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	return s.report, nil
}

func (s *show) run(ctx context.Context) error {
	s.page.line("%s", s.page.paint(bold, "Sluice demo: "+s.Title))
	s.page.line("")
	for _, step := range []func(context.Context) error{s.makeStage, s.publishFirst, s.startDataplane, s.firstRound} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := s.tell(); err != nil {
		return err
	}
	if err := s.change(ctx); err != nil {
		return err
	}
	s.verdict()
	if s.Reported != nil {
		if err := s.Reported(s.report); err != nil {
			return err
		}
	}
	if s.Keep {
		return s.keep(ctx)
	}
	return nil
}

// close takes down whatever there is.
func (s *show) close() {
	if s.plane != nil {
		s.plane.stop()
	}
	if s.policy != nil {
		s.policy.Close()
	}
	if s.stage != nil && s.stage.lab != nil {
		s.stage.lab.Close()
	}
	if s.state != nil {
		_ = s.state.Close()
	}
}

func (s *show) makeStage(context.Context) error {
	left := 0
	if len(s.Ports) == 0 {
		s.Ports, left = portsOf(s.Set)
	}
	err := s.page.step("making a node and pods out of network namespaces", func(func(string)) (string, error) {
		var err error
		if s.stage, err = build(s.Set, s.Ports); err != nil {
			return "", err
		}
		if s.state, err = lab.NewStateDir(); err != nil {
			return "", err
		}
		return fmt.Sprintf("made a node and %s out of network namespaces", count(uint64(s.stage.pods()), "pod")), nil
	})
	if err != nil {
		return err
	}
	if left > 0 {
		s.stage.note("%s more that policies or containers name, beyond the first %d, are left out: try them with --port", count(uint64(left), "port"), mostPorts)
	}
	if s.stage.pods() == 0 {
		return errors.New("the manifests hold no pod that could be started: give Pods too, or none for the example")
	}
	s.report.Ends, s.report.Notes = s.stage.ends, s.stage.notes
	for _, p := range s.Ports {
		s.report.Ports = append(s.report.Ports, p.String())
	}
	return nil
}

func (s *show) publishFirst(context.Context) error {
	return s.page.step("compiling the policies", func(func(string)) (string, error) {
		var err error
		if s.trees, err = tree.NewPublisher(s.state.Path()); err != nil {
			return "", err
		}
		s.policy, s.builder = s.stage.snapshot.Compile(nodeName), tree.NewBuilder(nodeName)
		if err := s.build(); err != nil {
			return "", err
		}
		if _, err := s.trees.Publish(s.builder); err != nil {
			return "", err
		}
		policies := count(uint64(len(s.stage.snapshot.Policies())), "policy")
		return fmt.Sprintf("compiled %s into a tree and published it", policies), nil
	})
}

// build takes up what changed since the last time.
func (s *show) build() error {
	if err := s.builder.Apply(s.policy.Delta()); err != nil {
		return fmt.Errorf("building tree: %w", err)
	}
	return nil
}

// current is the published tree.
func (s *show) current() string { return filepath.Join(s.state.Path(), "tree", "current") }

func (s *show) startDataplane(ctx context.Context) error {
	return s.page.step("starting the dataplane", func(func(string)) (string, error) {
		var err error
		if s.plane, err = startDataplane(s.stage.node, s.Program, s.state.Path()); err != nil {
			return "", err
		}
		status, err := s.plane.enforces(ctx, 1)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("started the dataplane in the node (process %d, %s)", s.plane.PID(), status.Queueing), nil
	})
}

func (s *show) firstRound(ctx context.Context) error {
	before, err := packets(s.stage.node)
	if err != nil {
		return err
	}
	round, err := s.round(ctx, "")
	if err != nil {
		return err
	}
	after, err := packets(s.stage.node)
	if err != nil {
		return err
	}
	round.Generation = 1
	s.report.Rounds = append(s.report.Rounds, round)
	s.report.Packets = after.minus(before)
	s.report.Download, err = download(ctx, s.stage.node, round.cells)
	return err
}

// round asks the tree and the wire for every connection.
func (s *show) round(ctx context.Context, command string) (*Round, error) {
	cells := grid(s.stage.ends, s.Ports)
	if err := judge(s.current(), cells); err != nil {
		return nil, err
	}
	all := count(uint64(len(cells)), "connection")
	err := s.page.step("opening "+all, func(progress func(string)) (string, error) {
		var done atomic.Int64
		tenth := int64(max(1, len(cells)/10))
		err := try(ctx, cells, s.Refusal, func() {
			if n := done.Add(1); n%tenth == 0 {
				progress(fmt.Sprintf("opening %s: %d %%", all, 100*n/int64(len(cells))))
			}
		})
		return fmt.Sprintf("opened %s, everybody to everybody, IPv4 and IPv6", all), err
	})
	if err != nil {
		return nil, err
	}
	return newRound(command, cells), nil
}

// tell shows the first round.
func (s *show) tell() error {
	if s.Steps {
		return nil
	}
	p, first := s.page, s.report.Rounds[0]
	p.heading("Who is who")
	p.who(s.stage.ends)
	for _, note := range s.stage.notes {
		p.line("  %s", p.paint(faint, note))
	}
	p.heading("Who reaches whom")
	for _, t := range tables(s.stage.ends, s.Ports, first.cells) {
		p.show(t, s.stage.ends)
	}
	p.legend()
	p.heading("Why")
	p.why(rulings(first.cells), s.Ports)
	p.heading("What it cost")
	p.cost(s.report)
	return nil
}

func (p *page) cost(r *Report) {
	p.line("  Of %s that came to the node, %s went to user space: those that try to open a flow.",
		count(r.Packets.All, "packet"), thousands(r.Packets.Judged))
	if d := r.Download; d != nil {
		p.line("  Then %s sent %d MiB to %s over %s: %s, %s to user space.",
			d.From, d.Bytes>>20, d.To, d.Port, count(d.Packets.All, "packet"), thousands(d.Packets.Judged))
	}
}

// verdict ends the page.
func (s *show) verdict() {
	cells, held, differ := 0, 0, 0
	for _, r := range s.report.Rounds {
		cells += len(r.cells)
		held += len(r.Held)
		differ += r.Differ
	}
	s.report.Agree = differ == 0
	p := s.page
	all := count(uint64(cells), "connection")
	if held > 0 {
		all += fmt.Sprintf(", and in %d that were open while policies changed", held)
	}
	if s.report.Agree {
		p.line("\n%s Wire and policies agree in all %s.", p.paint(green, string(opens)), all)
		return
	}
	p.line("\n%s Wire and policies differ in %d of %s:", p.paint(red, string(refused)), differ, count(uint64(cells+held), "connection"))
	for _, r := range s.report.Rounds {
		if r.Command != "" && r.Differ > 0 {
			p.line("  after %s", r.Command)
		}
		p.mismatches(r)
	}
	if log := s.plane.Log(); log != "" {
		p.line("\nThe dataplane's log ends with:\n%s", log)
	}
}
