package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/live"
)

// clusterPlace is the flags that say whom status and flows ask: the dataplane
// of this node, or a cluster.
type clusterPlace struct {
	clusterFlags

	stateDir string
}

func (p *clusterPlace) addFlags(cmd *cobra.Command, where place) {
	if where == thisNode {
		cmd.Flags().StringVar(&p.stateDir, "state-dir", "", "`directory` that agent and dataplane share (default "+defaultStateDir+")")
	} else {
		cmd.Flags().StringVar(&p.stateDir, "state-dir", "", "ask this node, by the `directory` of agent and dataplane")
	}
	p.clusterFlags.addFlags(cmd)
}

// asksCluster decides by the flags, and where they say nothing by the place.
func (p *clusterPlace) asksCluster(where place, named bool) (bool, error) {
	named = named || p.given()
	if named && p.stateDir != "" {
		return false, wrongf("--state-dir with --kubeconfig, --context or --node: ask this node or a cluster, not both")
	}
	return named || where == liveCluster && p.stateDir == "", nil
}

// nodeDir is the state directory of this node.
func (p *clusterPlace) nodeDir() string {
	if p.stateDir == "" {
		return defaultStateDir
	}
	return p.stateDir
}

// connectTo gives the way to the cluster.
func (p *clusterPlace) connectTo(cmd *cobra.Command) (*live.Connection, error) {
	connection, err := p.connect()
	if errors.Is(err, live.ErrNoCluster) {
		return nil, wrongf("no cluster: %w; give --kubeconfig, or --state-dir on a node; see %s --help", err, cmd.CommandPath())
	}
	return connection, err
}

// flowsText says whose flows are shown.
func (p place) flowsText() string {
	if p == liveCluster {
		return `It runs sluice flows in Sluice's pods, on all nodes or on those of --node; each line
begins with the node. That needs the right to create pods/exec in sluice-system.`
	}
	return `It asks the dataplane of this node; with --kubeconfig, --context or --node those of
a cluster's nodes.`
}
