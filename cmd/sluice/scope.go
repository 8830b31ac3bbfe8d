package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/live"
)

// defaultStateDir is the default state directory. The agent and the dataplane of a node
// exchange trees and status through the state directory.
const defaultStateDir = "/run/sluice"

// scope determines what the commands status and flows show if no flag selects this node or a
// cluster.
type scope int

const (
	// nodeScope selects the dataplane of this node. It is the scope of the program sluice.
	nodeScope scope = iota
	// clusterScope selects the cluster in the kubeconfig. It is the scope of kubectl sluice.
	clusterScope
)

// scopeFlags are the flags that select either this node or a cluster.
type scopeFlags struct {
	input.ClusterFlags

	stateDir string
}

func (f *scopeFlags) addFlags(cmd *cobra.Command, s scope) {
	usage := "`directory` of the agent and the dataplane (default " + defaultStateDir + ")"
	if s == clusterScope {
		usage = "use the dataplane of this node, with this `directory`"
	}
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "", usage)
	f.ClusterFlags.AddFlags(cmd)
}

// selectsCluster reports whether a command uses a cluster instead of this node. If no flag
// selects a cluster or this node, the `s` parameter determines the result. The `nodes` parameter is
// true if the user set the flag --node, which selects nodes of a cluster.
func (f *scopeFlags) selectsCluster(s scope, nodes bool) (bool, error) {
	given := nodes || f.Given()
	if given && f.stateDir != "" {
		return false, wrongf("--state-dir with --kubeconfig, --context or --node: give this node or a cluster, not both")
	}
	return given || s == clusterScope && f.stateDir == "", nil
}

// nodeDir returns the state directory of this node: the value of the flag, or the default.
func (f *scopeFlags) nodeDir() string {
	if f.stateDir == "" {
		return defaultStateDir
	}
	return f.stateDir
}

// connectTo returns a connection to the selected cluster. If no cluster is configured, the
// error lists flags that select a cluster or this node.
func (f *scopeFlags) connectTo(cmd *cobra.Command) (*live.Connection, error) {
	connection, err := f.Connect()
	if errors.Is(err, live.ErrNoCluster) {
		return nil, wrongf("no cluster: %w; give --kubeconfig, or --state-dir on a node; see %s --help", err, cmd.CommandPath())
	}
	return connection, err
}
