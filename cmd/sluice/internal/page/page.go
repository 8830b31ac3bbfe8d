// Package page contains the flags of the command ui.
package page

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/ui"
	"github.com/sluicenet/sluice/ui/source"
)

// Flags contains the values of the flags of the command.
type Flags struct {
	cluster   input.ClusterFlags
	paths     []string
	nodes     []string
	stateDir  string
	port      uint16
	noBrowser bool
}

// AddTo adds the flags to a command.
func (f *Flags) AddTo(cmd *cobra.Command) {
	f.cluster.AddFlags(cmd)
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.paths, "filename", "f", nil, "manifests: a `file`, a directory and everything below it, or - for\nstandard input; repeatable")
	flags.StringVar(&f.stateDir, "state-dir", "", "show the flows of the dataplane that uses this `directory`;\nrequires -f")
	flags.StringArrayVar(&f.nodes, "node", nil, "show only flows that the node of this `name` evaluates; repeatable")
	flags.Uint16Var(&f.port, "port", 0, "TCP `port` of the page; 0 for any free port")
	flags.BoolVar(&f.noBrowser, "no-browser", false, "do not open a browser")
}

// Serve serves the page until the context of the command ends.
func (f *Flags) Serve(cmd *cobra.Command) error {
	s, err := f.source(cmd)
	if err != nil {
		return err
	}
	return ui.Run(cmd.Context(), s, ui.Options{Port: int(f.port), Browser: !f.noBrowser, Out: cmd.OutOrStdout()})
}

func (f *Flags) source(cmd *cobra.Command) (source.Source, error) {
	switch {
	case len(f.paths) > 0 && (f.cluster.Given() || len(f.nodes) > 0):
		return nil, input.Errorf("-f cannot be used with --node, --context or another flag that selects a cluster")
	case len(f.paths) > 0:
		files, err := source.NewFiles(f.paths, cmd.InOrStdin())
		if err != nil {
			return nil, err
		}
		files.StateDir = f.stateDir
		return files, nil
	case f.stateDir != "":
		return nil, input.Errorf("--state-dir requires -f: give the manifests of the cluster")
	}
	connection, err := f.cluster.Connect()
	if errors.Is(err, live.ErrNoCluster) {
		return nil, input.Errorf("no manifests and no cluster: give files with -f, or a cluster with --kubeconfig; see %s --help", cmd.CommandPath())
	}
	if err != nil {
		return nil, err
	}
	return source.NewCluster(connection, f.nodes), nil
}
