package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/check"
	"github.com/sluicenet/sluice/cmd/sluice/internal/choice"
	"github.com/sluicenet/sluice/cmd/sluice/internal/daemon"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/denials"
	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/metrics"
	"github.com/sluicenet/sluice/dataplane/nodecheck"
	"github.com/sluicenet/sluice/dataplane/pace"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/sandbox"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
)

const (
	// defaultQueueBase is the number of the first queue. It is far from 0 because other
	// programs number their queues from 0.
	defaultQueueBase = 2700
	// maxDefaultQueues limits the default number of queues. More than 8 workers do not
	// increase the rate of evaluated first packets.
	maxDefaultQueues = 8
)

// dataplaneFlags are the flags of the command sluice dataplane.
type dataplaneFlags struct {
	daemon.Flags

	stateDir      string
	queueBase     uint16
	queues        uint16
	failurePolicy choice.Value
	deny          choice.Value
	markMask      string
	denialLog     uint16
	cniResults    string
	hold          time.Duration
	prepare       bool
	uninstall     bool
	check         bool
	out           output.Format
}

func dataplaneCommand() *cobra.Command {
	var flags dataplaneFlags
	cmd := &cobra.Command{
		Use:   "dataplane --state-dir DIR",
		Short: "Enforce the published tree on this node's packets",
		Long: `Enforces the newest tree of the state directory in the current network namespace. The
dataplane installs the nftables table "inet sluice", evaluates the packets in its queues,
and switches to each new tree without a restart. It needs CAP_NET_ADMIN.

If a dataplane already runs on the node, the new dataplane takes over from it without a
gap. Both need their own queues, so --queues N reserves 2*N+4 consecutive queue numbers.
The health address can be unix:PATH, where PATH is the path of a socket.

The rules stay installed when the dataplane ends. To change the mark mask, use bits
that are not in the old mask. --uninstall removes the marks of every mask that was used.`,
		Example: `  sluice dataplane --state-dir /run/sluice
  sluice dataplane --check
  sluice dataplane --uninstall`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := flags.config(flags.Logger(cmd))
			if err != nil {
				return err
			}
			switch {
			case flags.check:
				return checkNode(cmd, &flags, config.Marks)
			case flags.prepare:
				return statedir.Share(flags.stateDir)
			case flags.uninstall:
				return uninstallDataplane(cmd, &flags, config.Marks)
			}
			return runDataplane(cmd.Context(), &flags, config)
		},
	}
	f := cmd.Flags()
	addStateDirFlag(cmd, &flags.stateDir)
	f.Uint16Var(&flags.queueBase, "queue-base", defaultQueueBase, "`number` of the first NFQUEUE")
	f.Uint16Var(&flags.queues, "queues", uint16(min(runtime.NumCPU(), maxDefaultQueues)), "`number` of normal queues, each with one worker")
	flags.failurePolicy = choice.New("Closed|Open", string(ruleset.FailClosed), string(ruleset.FailClosed), string(ruleset.FailOpen))
	flags.deny = choice.New("Drop|Reject", string(ruleset.Drop), string(ruleset.Drop), string(ruleset.Reject))
	f.Var(&flags.failurePolicy, "failure-policy", "verdict for unevaluated packets")
	f.Var(&flags.deny, "deny", "what happens to denied packets")
	f.StringVar(&flags.markMask, "mark-mask", fmt.Sprintf("%#x", ruleset.DefaultMask), "two mark `bits` that no other program uses")
	f.Uint16Var(&flags.denialLog, "denial-log", 0, "maximum `number` of log lines per second about denied flows")
	f.StringVar(&flags.cniResults, "cni-results", sandbox.DefaultDir, "directory `DIR` of the container runtime with CNI\nresults; \"\" for none")
	f.DurationVar(&flags.hold, "hold", engine.DefaultHold, "maximum `time` to hold packets of unknown pods")
	f.BoolVar(&flags.prepare, "prepare", false, "let this process's group publish trees, and exit")
	f.BoolVar(&flags.uninstall, "uninstall", false, "uninstall; with --health-address, do not exit")
	f.BoolVar(&flags.check, "check", false, "check the requirements of this node, and exit")
	flags.out.AddTo(cmd, output.Text, output.JSON, output.YAML)
	f.Lookup("output").Usage = "`format` of --check: text, json or yaml"
	flags.Add(cmd, daemon.NoAddress, daemon.NoAddress)
	return cmd
}

// config converts the flags to the configuration of the dataplane.
func (f *dataplaneFlags) config(log logr.Logger) (engine.Config, error) {
	c := engine.Config{
		QueueBase:     f.queueBase,
		Queues:        f.queues,
		FailurePolicy: ruleset.FailurePolicy(f.failurePolicy.String()),
		Deny:          ruleset.Deny(f.deny.String()),
		CNIResults:    f.cniResults,
		Hold:          f.hold,
		Log:           log,
	}
	if f.prepare && f.uninstall || f.check && (f.prepare || f.uninstall) {
		return c, wrongf("--check, --prepare and --uninstall: give one of them")
	}
	if !ruleset.Fit(f.queueBase, f.queues) {
		return c, wrongf("--queues %d: want at least 1, and %d numbers from --queue-base %d on, up to 65535", f.queues, ruleset.NumbersPerNode(f.queues), f.queueBase)
	}
	if f.hold < 0 || f.hold > engine.MaxHold {
		return c, wrongf("--hold %s: want 0s to %s", f.hold, engine.MaxHold)
	}
	mask, err := strconv.ParseUint(f.markMask, 0, 32)
	if err != nil {
		return c, wrongf("--mark-mask %s: want a 32-bit number, such as %#x", f.markMask, ruleset.DefaultMask)
	}
	if c.Marks, err = ruleset.MarksOf(uint32(mask)); err != nil {
		return c, wrongf("--mark-mask: %w", err)
	}
	return c, nil
}

// runDataplane runs the dataplane until the context is canceled or a worker fails.
func runDataplane(ctx context.Context, flags *dataplaneFlags, config engine.Config) error {
	healthListener, err := daemon.Listen("--health-address", flags.HealthAddress)
	if err != nil {
		return err
	}
	defer healthListener.Close()
	governor := pace.New(config.Queues, config.Log.WithName("pace"))
	var governing sync.WaitGroup
	defer governing.Wait()
	// The dataplane still processes packets after ctx has been canceled, so the governor must end later.
	governed, ungovern := context.WithCancel(context.WithoutCancel(ctx))
	defer ungovern()
	governing.Go(func() { governor.Run(governed) })
	config.Pacer = governor
	config.Events = queue.NewEvents()
	if flags.denialLog > 0 {
		var logging sync.WaitGroup
		defer logging.Wait()
		ending, end := context.WithCancel(ctx)
		defer end()
		events, stop := config.Events.Subscribe(true)
		defer stop()
		logging.Go(func() { denials.Log(ending, events, int(flags.denialLog), config.Log.WithName("denials")) })
	}
	endpoints := &status.Endpoints{StateDir: flags.stateDir, MetricsAddress: flags.MetricsAddress, Log: config.Log.WithName("endpoints")}
	if endpoints.MetricsAddress == daemon.NoAddress {
		endpoints.MetricsAddress = ""
	}
	defer endpoints.Close()
	dataplane := engine.New(flags.stateDir, config, endpoints)
	endpoints.Source = status.Source{Status: dataplane.Status, Hits: dataplane.Hits, Events: config.Events.Subscribe, Metrics: metrics.Handler(dataplane.Status)}
	endpoints.Source.Connections = func(ctx context.Context, f func(*report.Connection) error) error {
		return conntrack.List(ctx, config.Marks, f)
	}
	health := status.NewHealth()
	health.Follow(dataplane.Status)
	healthListener.Serve(health)
	return errors.Join(dataplane.Run(ctx), dataplane.Close())
}

// checkNode checks whether this node meets the requirements of a dataplane with the given flags.
func checkNode(cmd *cobra.Command, flags *dataplaneFlags, marks ruleset.Marks) error {
	checks := nodecheck.Run(cmd.Context(), nodecheck.Settings{
		Marks:      marks,
		Queues:     ruleset.NewQueues(flags.queueBase, flags.queues),
		StateDir:   flags.stateDir,
		CNIResults: flags.cniResults,
	})
	return writeChecks(cmd, &flags.out, check.NewReport("Node", checks))
}
