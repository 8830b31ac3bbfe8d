// Package usage implements the command hits, which shows how often rules are used.
package usage

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/cmd/sluice/internal/scope"
	"github.com/sluicenet/sluice/cmd/sluice/internal/terminal"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/hits"
)

// Flags are the flags of the command.
type Flags struct {
	out    output.Format
	scope  scope.Flags
	filter hits.Filter
}

// AddTo adds the flags to the command.
func (f *Flags) AddTo(cmd *cobra.Command, s scope.Scope) {
	flags := cmd.Flags()
	flags.StringVarP(&f.filter.Namespace, "namespace", "n", "", "only NetworkPolicies in this `namespace`")
	flags.BoolVar(&f.filter.Unused, "unused", false, "only rules that were never used")
	f.scope.AddTo(cmd, s)
	f.out.AddTo(cmd, output.Text, output.JSON, output.YAML)
}

// Write writes the hits of the selected cluster or node.
func (f *Flags) Write(cmd *cobra.Command, s scope.Scope) error {
	cluster, err := f.scope.SelectsCluster(s, false)
	if err != nil {
		return err
	}
	read := f.readNode
	if cluster {
		read = f.readCluster
	}
	h, err := read(cmd)
	if err != nil {
		return err
	}
	if err := f.out.Write(cmd, h); err != nil {
		return err
	}
	if !h.Complete() {
		return output.ErrReported
	}
	return nil
}

// readNode reads the hits of the dataplane of this node.
func (f *Flags) readNode(cmd *cobra.Command) (*hits.Hits, error) {
	s, err := status.ReadHits(cmd.Context(), f.scope.NodeDir())
	if err != nil {
		return nil, scope.NotRunning(err, f.scope.NodeDir())
	}
	return hits.OfNode(hits.NodeOf(s.Node, &s), f.filter, time.Now()), nil
}

// readCluster reads the policies of a cluster and the hits of all of its nodes.
func (f *Flags) readCluster(cmd *cobra.Command) (*hits.Hits, error) {
	connection, err := f.scope.ConnectTo(cmd)
	if err != nil {
		return nil, err
	}
	done := terminal.Progress(cmd.ErrOrStderr(), "reading the cluster")
	defer done()
	policies, err := connection.Policies(cmd.Context())
	if err != nil {
		return nil, err
	}
	names, err := connection.NodeNames(cmd.Context())
	if err != nil {
		return nil, err
	}
	nodes := hits.Read(cmd.Context(), connection, names)
	if err := hits.FirstError(nodes); err != nil {
		return nil, err
	}
	return hits.New(policies, nodes, f.filter, time.Now()), nil
}

// explainTimeout limits the time for reading the counters of the rules in an explanation.
const explainTimeout = 5 * time.Second

// Explain adds to an explanation how often the deciding rules were used. If the counters cannot be
// read, it writes a note, unless the cluster does not serve them or the user may not read them.
func Explain(cmd *cobra.Command, connection *live.Connection, e *query.Explanation) {
	ctx, cancel := context.WithTimeout(cmd.Context(), explainTimeout)
	defer cancel()
	err := hits.Explain(ctx, connection, e)
	var notServed *live.NotServedError
	var forbidden *live.ForbiddenError
	if err != nil && !errors.As(err, &notServed) && !errors.As(err, &forbidden) {
		input.Note(cmd.ErrOrStderr(), "how often rules are used is not shown: %v", err)
	}
}
