// Package difference previews a change of policies. It implements the command sluice diff.
package difference

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/cmd/sluice/internal/terminal"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/query/diff"
)

// Flags are the flags of the command sluice diff.
type Flags struct {
	cluster  input.ClusterFlags
	out      output.Format
	base     []string
	draft    []string
	deleted  []string
	exitCode bool
	// If connections is false, the command does not read the open connections of the cluster.
	connections bool
	// watch is how long the command evaluates the flows of the cluster. If it is 0, the command
	// evaluates no flows.
	watch time.Duration
}

// AddTo adds the flags to a command.
func (f *Flags) AddTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.draft, "filename", "f", nil, "manifests to apply: a `file`, a directory and everything below it,\nor - for standard input; repeatable")
	flags.StringArrayVar(&f.deleted, "delete", nil, "delete this `policy`, namespace/name or the name of a\nClusterNetworkPolicy; repeatable")
	flags.StringArrayVar(&f.base, "base", nil, "current state: a `file` or a directory with manifests instead of\nthe cluster; repeatable")
	flags.BoolVar(&f.exitCode, "exit-code", false, "exit with code 1 if a verdict changes, as git diff does")
	flags.BoolVar(&f.connections, "connections", true, "list the open connections of the cluster that would be cut")
	flags.DurationVar(&f.watch, "watch", 0, "also evaluate the flows of the cluster for this `time`, such as 10m")
	f.cluster.AddFlags(cmd)
	f.out.AddTo(cmd, output.Text, output.JSON, output.YAML)
}

// Write writes the difference to the output of a command. It returns output.ErrReported if a verdict
// changes and the user set --exit-code.
func (f *Flags) Write(cmd *cobra.Command) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	base, connection, err := f.readBase(cmd)
	if err != nil {
		return err
	}
	draft := &inventory.Set{}
	if len(f.draft) > 0 {
		if draft, err = input.ReadFiles(cmd, f.draft); err != nil {
			return err
		}
	}
	done := terminal.Progress(cmd.ErrOrStderr(), "comparing")
	d, err := diff.Of(base, draft, f.deleted)
	done()
	if err != nil {
		return err
	}
	if err := f.writeAll(cmd, connection, base, draft, d); err != nil {
		return err
	}
	if f.exitCode && !d.Empty() {
		return output.ErrReported
	}
	return nil
}

// writeAll writes the difference. If the current state was read from a cluster, it also writes the
// open connections that would be cut, and evaluates flows for the time of --watch.
func (f *Flags) writeAll(cmd *cobra.Command, connection *live.Connection, base, draft *inventory.Set, d *diff.Diff) (err error) {
	if connection == nil {
		return f.out.Write(cmd, d)
	}
	nodes, err := diff.NewNodes(base, draft, f.deleted)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, nodes.Close()) }()
	if f.connections {
		f.addConnections(cmd, connection, nodes, d)
	}
	asText := f.out.String() == output.Text
	if f.watch <= 0 || asText {
		if err := f.out.Write(cmd, d); err != nil || f.watch <= 0 {
			return err
		}
	}
	d.Flows, err = watch(cmd, connection, nodes, f.watch, func(flow *diff.Flow) {
		if asText {
			fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", flow.Node, flow.Change())
		}
	})
	if err != nil {
		return err
	}
	if asText {
		return d.Flows.WriteText(cmd.OutOrStdout())
	}
	return f.out.Write(cmd, d)
}

// addConnections adds the open connections that would be cut. If the cluster does not report its open
// connections, addConnections adds a note.
func (f *Flags) addConnections(cmd *cobra.Command, connection *live.Connection, nodes *diff.Nodes, d *diff.Diff) {
	done := terminal.Progress(cmd.ErrOrStderr(), "reading open connections")
	found, err := connections(cmd.Context(), connection, nodes)
	done()
	if err != nil {
		d.Notes = append(d.Notes, "open connections are not included: "+err.Error())
		return
	}
	d.Connections = found
}

// check returns an error if the flags contradict each other. It reads neither files nor the
// cluster.
func (f *Flags) check(cmd *cobra.Command) error {
	switch {
	case len(f.draft) == 0 && len(f.deleted) == 0:
		return input.Errorf("nothing to compare: give manifests with -f, or policies with --delete; see %s --help", cmd.CommandPath())
	case len(f.base) > 0 && f.cluster.Given():
		return input.Errorf("--base cannot be used with --context or another flag that selects a cluster")
	case len(f.base) > 0 && f.watch > 0:
		return input.Errorf("--base cannot be used with --watch, because manifests have no flows")
	}
	return nil
}

// readBase reads the current state from the files of --base or from a cluster. If it read files, the
// connection is nil.
func (f *Flags) readBase(cmd *cobra.Command) (*inventory.Set, *live.Connection, error) {
	if len(f.base) > 0 {
		set, err := input.ReadFiles(cmd, f.base)
		return set, nil, err
	}
	connection, err := f.cluster.Connect()
	if errors.Is(err, live.ErrNoCluster) {
		return nil, nil, input.Errorf("no current state: give manifests with --base, or a cluster with --kubeconfig; see %s --help", cmd.CommandPath())
	}
	if err != nil {
		return nil, nil, err
	}
	set, err := input.ReadCluster(cmd, connection)
	return set, connection, err
}
