package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
)

// uninstallDataplane removes everything and says so. Where others ask for its
// health it then stays, for they take its readiness as the proof.
func uninstallDataplane(cmd *cobra.Command, flags *dataplaneFlags, marks ruleset.Marks) error {
	forHealth, err := listen("--health-address", flags.health)
	if err != nil {
		return err
	}
	defer forHealth.close()
	cleared, err := removeDataplane(flags.stateDir, marks)
	if err != nil {
		return fmt.Errorf("uninstalling: %w", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "removed: the table inet sluice, the marks of %d connections, the trees in %s; nothing is left\n", cleared, flags.stateDir)
	if forHealth != nil {
		stay(cmd.Context(), forHealth)
	}
	return nil
}

// stay answers that it is done until the context ends.
func stay(ctx context.Context, forHealth *listener) {
	forHealth.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "nothing is left\n") // The client is gone: nobody is left to tell.
	}))
	<-ctx.Done()
}

// removeDataplane removes the rules, then the marks, which nobody sets any
// more, and looks whether anything is left of either. Last go the files, from
// which a dataplane would make it all anew.
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
		return 0, fmt.Errorf("%d connections were marked meanwhile: a dataplane or another user of mark bits %#x is running", left.Cleared, marks.Mask)
	}
	return first.Cleared, errors.Join(status.Remove(stateDir), statedir.Remove(stateDir))
}
