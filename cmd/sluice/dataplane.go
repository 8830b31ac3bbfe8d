package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/metrics"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/status"
)

const (
	// defaultQueueBase is far from 0, where everybody else begins.
	defaultQueueBase = 2700
	// maxDefaultQueues: more workers than this gain nothing on first packets.
	maxDefaultQueues = 8
	// metricsTimeout bounds how long one who asks for metrics may take.
	metricsTimeout = 10 * time.Second
)

// dataplaneFlags are the flags of the dataplane command.
type dataplaneFlags struct {
	stateDir      string
	metrics       string
	queueBase     uint16
	queues        uint16
	failurePolicy string
	deny          string
	markMask      string
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
			if flags.uninstall {
				return uninstallDataplane(cmd, config.Marks)
			}
			return runDataplane(cmd.Context(), flags.stateDir, flags.metrics, config)
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
	f.BoolVar(&flags.uninstall, "uninstall", false, "remove rules and marks, and prove that they are gone")
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

// uninstallDataplane removes the rules, then the marks, which nobody sets any
// more, and looks whether anything is left of either.
func uninstallDataplane(cmd *cobra.Command, marks ruleset.Marks) error {
	if err := ruleset.Uninstall(); err != nil {
		return fmt.Errorf("uninstalling: %w", err)
	}
	connections, err := conntrack.Open(marks)
	if err != nil {
		return fmt.Errorf("uninstalling: %w", err)
	}
	cleared, err := connections.Clear()
	var left conntrack.Result
	if err == nil {
		left, err = connections.Clear()
	}
	if err = errors.Join(err, connections.Close()); err != nil {
		return fmt.Errorf("uninstalling: %w", err)
	}
	if left.Cleared > 0 {
		return fmt.Errorf("uninstalling: %d connections were marked meanwhile: a dataplane or another user of mark bits %#x is running", left.Cleared, marks.Mask)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "removed: the table inet sluice and the marks of %d connections; nothing is left\n", cleared.Cleared)
	return nil
}

// runDataplane enforces until the context ends or a worker fails. An address
// that cannot be listened at is an error before anything is touched.
func runDataplane(ctx context.Context, stateDir, metricsAddress string, config engine.Config) error {
	var listener net.Listener
	if metricsAddress != "" {
		var err error
		if listener, err = net.Listen("tcp", metricsAddress); err != nil {
			return fmt.Errorf("listening at --metrics-address: %w", err)
		}
		defer func() { _ = listener.Close() }()
		config.Log.Info("serving metrics", "address", listener.Addr().String())
	}
	config.Events = queue.NewEvents()
	return engine.Run(ctx, stateDir, config, func(now func() (engine.Status, error)) (io.Closer, error) {
		source := status.Source{Status: now, Events: config.Events, Metrics: metrics.Handler(now)}
		if listener != nil {
			go serveMetrics(listener, source.Metrics)
		}
		return status.Serve(stateDir, source)
	})
}

// serveMetrics answers for metrics, and for nothing else, until the listener
// is closed.
func serveMetrics(listener net.Listener, handler http.Handler) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", handler)
	server := http.Server{Handler: mux, ReadHeaderTimeout: metricsTimeout, WriteTimeout: metricsTimeout}
	_ = server.Serve(listener) // It ends with net.ErrClosed, always.
}
