package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/daemon"
	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/handover"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
)

// uninstallDataplane removes everything that a dataplane leaves on a node. If the user
// specified a health address, the process then stays alive and reports that it is ready. For
// the operator, a ready process is the proof that nothing is left on the node.
func uninstallDataplane(cmd *cobra.Command, flags *dataplaneFlags, marks ruleset.Marks) error {
	health, err := daemon.Listen("--health-address", flags.HealthAddress)
	if err != nil {
		return err
	}
	defer health.Close()
	// If the operator started this process, it must not end a running dataplane, because the
	// Enforcer may have selected the node again.
	lock, err := handover.Seize(cmd.Context(), flags.stateDir, health == nil, func() {
		flags.Logger(cmd).Info("waiting: a dataplane is running on this node", "stateDir", flags.stateDir)
	})
	if err != nil {
		return fmt.Errorf("uninstalling: %w", err)
	}
	cleared, err := removeDataplane(flags.stateDir, marks)
	if err = errors.Join(err, lock.Remove()); err != nil {
		return fmt.Errorf("uninstalling: %w", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "removed: the tables inet sluice and bridge sluice, the marks of %d connections, the trees in %s; nothing is left\n", cleared, flags.stateDir)
	if health != nil {
		reportRemoved(cmd.Context(), health)
	}
	return nil
}

// reportRemoved responds to liveness and readiness probes until the context is canceled.
func reportRemoved(ctx context.Context, health *daemon.Listener) {
	health.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "nothing is left\n") // An error means that the client closed the connection.
	}))
	<-ctx.Done()
}

// removeDataplane removes the rules first, so that no rule sets new marks while it removes
// the marks. Then it checks that no mark is left. It removes the files last. If a dataplane
// starts before the files are removed, it reads the tree and installs the rules again.
func removeDataplane(stateDir string, marks ruleset.Marks) (cleared int, err error) {
	if err := ruleset.Uninstall(); err != nil {
		return 0, err
	}
	connections, err := conntrack.Open(marks)
	if err != nil {
		return 0, err
	}
	first, err := connections.Clear()
	var left conntrack.Result
	if err == nil {
		left, err = connections.Clear()
	}
	if err = errors.Join(err, connections.Close()); err != nil {
		return 0, err
	}
	if left.Cleared > 0 {
		return 0, fmt.Errorf("%d connections were marked in the meantime: a dataplane or another program that uses mark bits %#x is running", left.Cleared, marks.Mask)
	}
	return first.Cleared, errors.Join(status.Remove(stateDir), statedir.Remove(stateDir))
}
