package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/page"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy/compile"
	"github.com/sluicenet/sluice/test/lab"
)

// DefaultTimeout is the default value of Options.Timeout. TCP retransmits the first packet of
// a connection after one second, so the timeout is longer than one second.
const DefaultTimeout = 1200 * time.Millisecond

// Options configures a run of the demo.
type Options struct {
	// Title describes the manifests in the output.
	Title string
	// Set contains the objects of the manifests.
	Set *inventory.Set
	// Ports are the destination ports to try. If the list is empty, the demo tries the ports
	// that the policies and the containers specify.
	Ports []topology.Port
	// Changes are the changes to make after the first round. If the list is empty, the demo
	// selects a policy that isolates a pod in a denied connection. It deletes this policy,
	// and then adds it again.
	Changes []Change
	// Timeout is the time after which a connection without a reply counts as
	// denied. 0 means DefaultTimeout.
	Timeout time.Duration
	// Program is the path of the program sluice. The demo runs `sluice dataplane`, and prints
	// other sluice commands for the user.
	Program string
	// If Reported is not nil, the demo calls it with the complete report.
	Reported func(*wire.Report) error
	// If Keep is true, the demo keeps the dataplane and the network running after the last
	// round, until the context is canceled.
	Keep bool
	// If Page is true, the demo also serves a web page while Keep keeps it running.
	Page bool
	// Out receives the text output. If Steps is true, the output contains only the
	// progress of each step.
	Out   io.Writer
	Steps bool
}

// demo is the state of one run.
type demo struct {
	Options
	page     *page.Page
	topology *topology.Topology
	state    *lab.StateDir
	compiler *compile.Compiler
	builder  *build.Builder
	trees    *statedir.Publisher
	plane    *dataplane
	report   *wire.Report
}

// Run runs a demo and returns its report. If the result of a connection contradicts the
// policies, the report contains this difference, and Run returns no error. Run returns an
// error if the demo could not be completed. It also returns an error if the context is
// canceled, unless Options.Keep is set and all rounds are complete. When Run has returned, or
// the process has been killed, no process, network namespace or file remains.
func Run(ctx context.Context, o Options) (*wire.Report, error) {
	d := &demo{Options: o, page: page.New(o.Out), report: &wire.Report{Title: o.Title}}
	defer d.close()
	if d.Timeout == 0 {
		d.Timeout = DefaultTimeout
	}
	if err := d.run(ctx); err != nil {
		return nil, err
	}
	return d.report, nil
}

func (d *demo) run(ctx context.Context) error {
	d.page.Title("Sluice demo: " + d.Title)
	for _, step := range []func(context.Context) error{d.build, d.publishFirst, d.startDataplane, d.firstRound} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.explain()
	if err := d.change(ctx); err != nil {
		return err
	}
	d.conclude()
	if d.Reported != nil {
		if err := d.Reported(d.report); err != nil {
			return err
		}
	}
	if d.Keep {
		return d.keep(ctx)
	}
	return nil
}

// close stops the dataplane, and removes the network and the state directory.
func (d *demo) close() {
	if d.plane != nil {
		d.plane.stop()
	}
	if d.compiler != nil {
		d.compiler.Close()
	}
	if d.topology != nil {
		d.topology.Close()
	}
	if d.state != nil {
		_ = d.state.Close()
	}
}

func (d *demo) build(context.Context) error {
	left := 0
	if len(d.Ports) == 0 {
		d.Ports, left = topology.PortsOf(d.Set)
	}
	err := d.page.Step("creating network namespaces for a node and its pods", func(func(string)) (string, error) {
		var err error
		if d.topology, err = topology.New(d.Set, d.Ports); err != nil {
			return "", err
		}
		if d.state, err = lab.NewStateDir(); err != nil {
			return "", err
		}
		return fmt.Sprintf("created network namespaces for a node and %s", page.Count(uint64(d.topology.Pods()), "pod")), nil
	})
	if err != nil {
		return err
	}
	if left > 0 {
		d.topology.Note("omitted %s that policies or containers specify: select ports with --port", page.Count(uint64(left), "more port"))
	}
	if d.topology.Pods() == 0 {
		return errors.New("the manifests contain no pod that could be started: add Pods, or omit -f to use the example")
	}
	d.report.Ends, d.report.Notes, d.report.Ports = d.topology.Ends, d.topology.Notes, topology.Texts(d.Ports)
	return nil
}

func (d *demo) publishFirst(context.Context) error {
	return d.page.Step("compiling the policies", func(func(string)) (string, error) {
		var err error
		if d.trees, err = statedir.NewPublisher(d.state.Path()); err != nil {
			return "", err
		}
		d.compiler, d.builder = compile.New(d.topology.Snapshot, topology.NodeName), build.New(topology.NodeName)
		if err := d.compile(); err != nil {
			return "", err
		}
		if _, err := d.trees.Publish(d.builder); err != nil {
			return "", err
		}
		policies := page.Count(uint64(len(d.topology.Snapshot.Policies())), "policy")
		return fmt.Sprintf("compiled %s into a tree and published it", policies), nil
	})
}

// compile collects the changes of the snapshot since the previous call of compile, and applies
// them to the builder of the tree.
func (d *demo) compile() error {
	if err := d.builder.Apply(d.compiler.Delta()); err != nil {
		return fmt.Errorf("building the tree: %w", err)
	}
	return nil
}

// current returns the path of the published tree in a state directory.
func current(stateDir string) string { return filepath.Join(stateDir, "tree", "current") }

func (d *demo) startDataplane(ctx context.Context) error {
	return d.page.Step("starting the dataplane", func(func(string)) (string, error) {
		var err error
		if d.plane, err = startDataplane(d.topology.Node, d.Program, d.state.Path()); err != nil {
			return "", err
		}
		status, err := d.plane.enforces(ctx, 1)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("started the dataplane in the node (process %d, %s)", d.plane.PID(), status.Queueing), nil
	})
}

func (d *demo) firstRound(ctx context.Context) error {
	before, err := wire.CountPackets(d.topology.Node)
	if err != nil {
		return err
	}
	round, err := d.round(ctx, "")
	if err != nil {
		return err
	}
	after, err := wire.CountPackets(d.topology.Node)
	if err != nil {
		return err
	}
	round.Generation = 1
	d.report.Rounds = append(d.report.Rounds, round)
	d.report.Packets = after.Minus(before)
	d.report.Download, err = wire.MeasureDownload(ctx, d.topology.Node, round.Attempts)
	return err
}

// round evaluates every connection with the published tree, opens every connection, and
// returns the results. The `command` parameter is the command for the change before the round.
func (d *demo) round(ctx context.Context, command string) (*wire.Round, error) {
	attempts := wire.Attempts(d.topology.Ends, d.Ports)
	if err := wire.Evaluate(current(d.state.Path()), attempts); err != nil {
		return nil, err
	}
	all := page.Count(uint64(len(attempts)), "connection")
	err := d.page.Step("opening "+all, func(progress func(string)) (string, error) {
		var done atomic.Int64
		tenth := int64(max(1, len(attempts)/10))
		err := wire.Try(ctx, attempts, d.Timeout, func() {
			if n := done.Add(1); n%tenth == 0 {
				progress(fmt.Sprintf("opening %s: %d %%", all, 100*n/int64(len(attempts))))
			}
		})
		return fmt.Sprintf("opened %s between all ends, IPv4 and IPv6", all), err
	})
	if err != nil {
		return nil, err
	}
	return wire.NewRound(command, attempts), nil
}

// explain writes the results of the first round and the reasons for these results.
func (d *demo) explain() {
	if d.Steps {
		return
	}
	p, attempts := d.page, d.report.Rounds[0].Attempts
	p.Heading("Who is who")
	p.Ends(d.topology.Ends)
	p.Notes(d.topology.Notes)
	p.Heading("Who reaches whom")
	p.Tables(d.topology.Ends, d.Ports, attempts)
	p.Heading("Why")
	p.Reasons(attempts, d.Ports)
	p.Heading("What it cost")
	p.Cost(d.report)
}

// conclude writes whether the results agree with the policies, and sets Report.Agree. If the
// results differ, conclude also writes the last part of the dataplane's log.
func (d *demo) conclude() {
	d.report.Agree = true
	for _, r := range d.report.Rounds {
		d.report.Agree = d.report.Agree && r.Differ == 0
	}
	d.page.Conclusion(d.report)
	if log := d.plane.Log(); log != "" && !d.report.Agree {
		d.page.Line("\nThe dataplane's log ends with:\n%s", log[max(0, len(log)-logShown):])
	}
}

// logShown is the maximum number of bytes of the dataplane's log that the demo writes to its
// output.
const logShown = 8 << 10
