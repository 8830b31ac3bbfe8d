package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/live"
)

// defaultStateDir is the directory that the agent and the dataplane of a node
// share.
const defaultStateDir = "/run/sluice"

// scope is the default subject of status and flows: a node or a cluster.
type scope int

const (
	// nodeScope is the dataplane of this node. It is the scope of sluice.
	nodeScope scope = iota
	// clusterScope is the cluster of the kubeconfig. It is the scope of kubectl
	// sluice.
	clusterScope
)

// scopeFlags are the flags that select this node or a cluster.
type scopeFlags struct {
	clusterFlags

	stateDir string
}

func (f *scopeFlags) addFlags(cmd *cobra.Command, s scope) {
	usage := "`directory` of the agent and the dataplane (default " + defaultStateDir + ")"
	if s == clusterScope {
		usage = "use the dataplane of this node, with this `directory`"
	}
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "", usage)
	f.clusterFlags.addFlags(cmd)
}

// selectsCluster reports whether a cluster is selected: by the flags or, if no flag
// decides, by the scope. nodes reports whether nodes of a cluster are given.
func (f *scopeFlags) selectsCluster(s scope, nodes bool) (bool, error) {
	given := nodes || f.given()
	if given && f.stateDir != "" {
		return false, wrongf("--state-dir with --kubeconfig, --context or --node: give this node or a cluster, not both")
	}
	return given || s == clusterScope && f.stateDir == "", nil
}

// nodeDir returns the state directory of this node.
func (f *scopeFlags) nodeDir() string {
	if f.stateDir == "" {
		return defaultStateDir
	}
	return f.stateDir
}

// connectTo returns a connection to the cluster.
func (f *scopeFlags) connectTo(cmd *cobra.Command) (*live.Connection, error) {
	connection, err := f.connect()
	if errors.Is(err, live.ErrNoCluster) {
		return nil, wrongf("no cluster: %w; give --kubeconfig, or --state-dir on a node; see %s --help", err, cmd.CommandPath())
	}
	return connection, err
}
