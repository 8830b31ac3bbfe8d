package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strconv"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/ruleset"
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
policy decides on all others. --uninstall removes the rules and the marks.`,
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
			return runDataplane(cmd.Context(), flags.stateDir, config)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.stateDir, "state-dir", "/run/sluice", "directory that agent and dataplane share")
	f.Uint16Var(&flags.queueBase, "queue-base", defaultQueueBase, "number of the first NFQUEUE")
	f.Uint16Var(&flags.queues, "queues", uint16(min(runtime.NumCPU(), maxDefaultQueues)), "how many queues, each with a worker; the default is one for each processor, at most 8")
	f.StringVar(&flags.failurePolicy, "failure-policy", string(ruleset.FailClosed), "what happens to new flows of isolated pods that no worker can judge: Closed drops them, Open lets them pass")
	f.StringVar(&flags.deny, "deny", string(ruleset.Drop), "how refused packets end: Drop is silent, Reject answers with a TCP reset or an ICMP error")
	f.StringVar(&flags.markMask, "mark-mask", fmt.Sprintf("%#x", ruleset.DefaultMask), "two bits of packet mark and connection mark that nobody else on the node uses")
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

// runDataplane enforces until the context ends or a worker fails.
func runDataplane(ctx context.Context, stateDir string, config engine.Config) error {
	config.Events = queue.NewEvents()
	return engine.Run(ctx, stateDir, config, func(now func() (engine.Status, error)) (io.Closer, error) {
		return status.Serve(stateDir, status.Source{Status: now, Events: config.Events})
	})
}
