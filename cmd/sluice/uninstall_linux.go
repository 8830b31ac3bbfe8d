package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/daemon"
	"github.com/sluicenet/sluice/dataplane/handover"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/uninstall"
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
	// If the operator started this process, the process must not end a running dataplane,
	// because the Enforcer may have selected the node again.
	lock, err := handover.Seize(cmd.Context(), flags.stateDir, health == nil, func() {
		flags.Logger(cmd).Info("waiting: a dataplane is running on this node", "stateDir", flags.stateDir)
	})
	if err != nil {
		return fmt.Errorf("uninstalling: %w", err)
	}
	removed, err := uninstall.Run(flags.stateDir, marks)
	if err = errors.Join(err, lock.Remove()); err != nil {
		return fmt.Errorf("uninstalling: %w", err)
	}
	fmt.Fprint(cmd.OutOrStdout(), removed)
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
