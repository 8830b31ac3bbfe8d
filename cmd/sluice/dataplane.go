package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"sync"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/sluicenet/sluice/dataplane/denials"
	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/metrics"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
)

const (
	// defaultQueueBase is far from 0, where everybody else begins.
	defaultQueueBase = 2700
	// maxDefaultQueues: more workers than this gain nothing on first packets.
	maxDefaultQueues = 8
)

// dataplaneFlags are the flags of the dataplane command.
type dataplaneFlags struct {
	stateDir      string
	metrics       string
	health        string
	queueBase     uint16
	queues        uint16
	failurePolicy string
	deny          string
	markMask      string
	denialLog    uint16
	prepare       bool
	uninstall     bool
	verbose       bool
}

func dataplaneCommand() *cobra.Command {
	var flags dataplaneFlags
	cmd := &cobra.Command{
		Use:   "dataplane --state-dir DIR",
		Short: "Enforce the published tree on this node's packets",
		Long: `Enforces the newest tree of the state directory in the network namespace that it
is started in: it installs the nftables table "inet sluice", answers the queues,
and takes up each new tree without a restart. It needs CAP_NET_ADMIN.

When it ends, the rules stay: flows that were accepted go on, and the failure
policy decides on all others. --uninstall removes the rules and the marks. To change
the mark mask while connections are open, take bits that the old one does not share.`,
		Example: `  sluice dataplane --state-dir /run/sluice
  sluice dataplane --deny Reject --failure-policy Open
  sluice dataplane --uninstall`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := zap.New(zap.WriteTo(cmd.ErrOrStderr()), zap.UseDevMode(flags.verbose))
			config, err := flags.config(log)
			if err != nil {
				return err
			}
			switch {
			case flags.prepare:
				return statedir.Share(flags.stateDir)
			case flags.uninstall:
				return uninstallDataplane(cmd, &flags, config.Marks)
			}
			return runDataplane(cmd.Context(), &flags, config)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.stateDir, "state-dir", defaultStateDir, "`directory` that the agent publishes to")
	f.Uint16Var(&flags.queueBase, "queue-base", defaultQueueBase, "`number` of the first NFQUEUE")
	f.Uint16Var(&flags.queues, "queues", uint16(min(runtime.NumCPU(), maxDefaultQueues)), "`number` of queues, each with a worker")
	f.StringVar(&flags.failurePolicy, "failure-policy", string(ruleset.FailClosed), "`Closed|Open`: drop or pass what nobody judges")
	f.StringVar(&flags.deny, "deny", string(ruleset.Drop), "`Drop|Reject`: refuse silently or by an answer")
	f.StringVar(&flags.markMask, "mark-mask", fmt.Sprintf("%#x", ruleset.DefaultMask), "two mark `bits` that nobody else here uses")
	f.StringVar(&flags.metrics, "metrics-address", "", "`address` for /metrics, such as :9464 (default none)")
	f.StringVar(&flags.health, "health-address", "", "`address` for /healthz and /readyz (default none)")
	f.Uint16Var(&flags.denialLog, "denial-log", 0, "most `lines` a second that tell of refused flows")
	f.BoolVar(&flags.prepare, "prepare", false, "let an agent of this group publish in the directory, and end")
	f.BoolVar(&flags.uninstall, "uninstall", false, "remove rules, marks and trees, prove it, and end; with\n--health-address stay, and be ready")
	f.BoolVarP(&flags.verbose, "verbose", "v", false, "log for developers")
	return cmd
}

// config checks the flags.
func (f *dataplaneFlags) config(log logr.Logger) (engine.Config, error) {
	c := engine.Config{
		QueueBase:     f.queueBase,
		Queues:        f.queues,
		FailurePolicy: ruleset.FailurePolicy(f.failurePolicy),
		Deny:          ruleset.Deny(f.deny),
		Log:           log,
	}
	if f.prepare && f.uninstall {
		return c, wrongf("--prepare and --uninstall: give one of them")
	}
	if c.FailurePolicy != ruleset.FailClosed && c.FailurePolicy != ruleset.FailOpen {
		return c, wrongf("--failure-policy %s: want %s or %s", f.failurePolicy, ruleset.FailClosed, ruleset.FailOpen)
	}
	if c.Deny != ruleset.Drop && c.Deny != ruleset.Reject {
		return c, wrongf("--deny %s: want %s or %s", f.deny, ruleset.Drop, ruleset.Reject)
	}
	if f.queues == 0 || int(f.queueBase)+int(f.queues)-1 > math.MaxUint16 {
		return c, wrongf("--queues %d: from queue %d on there is room for 1 to %d", f.queues, f.queueBase, math.MaxUint16-int(f.queueBase)+1)
	}
	mask, err := strconv.ParseUint(f.markMask, 0, 32)
	if err != nil {
		return c, wrongf("--mark-mask %s: want a number of 32 bits, such as %#x", f.markMask, ruleset.DefaultMask)
	}
	if c.Marks, err = ruleset.MarksOf(uint32(mask)); err != nil {
		return c, wrongf("--mark-mask: %w", err)
	}
	return c, nil
}

// runDataplane enforces until the context ends or a worker fails. An address
// that cannot be listened at is an error before anything is touched.
func runDataplane(ctx context.Context, flags *dataplaneFlags, config engine.Config) error {
	forMetrics, err := listen("--metrics-address", flags.metrics)
	if err != nil {
		return err
	}
	defer forMetrics.close()
	forHealth, err := listen("--health-address", flags.health)
	if err != nil {
		return err
	}
	defer forHealth.close()
	health := status.NewHealth()
	forHealth.serve(health)
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
	return engine.Run(ctx, flags.stateDir, config, func(now func() (report.Status, error)) (io.Closer, error) {
		source := status.Source{Status: now, Events: config.Events.Subscribe, Metrics: metrics.Handler(now)}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", source.Metrics)
		forMetrics.serve(mux)
		health.Follow(now)
		server, err := status.Serve(flags.stateDir, source)
		if err != nil {
			return nil, err // A nil *status.Server would be a closer that is not nil.
		}
		return server, nil
	})
}
