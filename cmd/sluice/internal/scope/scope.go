// Package scope contains the flags of commands that show either the dataplane of this node or a
// cluster.
package scope

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/live"
)

// DefaultStateDir is the default state directory. In this directory, the agent of a node publishes
// trees, and the dataplane serves its status.
const DefaultStateDir = "/run/sluice"

// Scope determines what the commands status, flows and hits show by default, if no flag selects
// this node or a cluster.
type Scope int

const (
	// Node selects the dataplane of this node. On Linux, it is the scope of the program sluice.
	Node Scope = iota
	// Cluster selects the cluster in the kubeconfig. It is the scope of kubectl sluice.
	Cluster
)

// OfProgram returns the scope of the program sluice on an operating system. A dataplane runs only on
// Linux.
func OfProgram(goos string) Scope {
	if goos == "linux" {
		return Node
	}
	return Cluster
}

// Flags are the flags that select either this node or a cluster.
type Flags struct {
	input.ClusterFlags

	stateDir string
}

// AddTo adds the flags to a command.
func (f *Flags) AddTo(cmd *cobra.Command, s Scope) {
	usage := "`directory` of the agent and the dataplane (default " + DefaultStateDir + ")"
	if s == Cluster {
		usage = "show the dataplane of this node that uses this `directory`"
	}
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "", usage)
	f.AddFlags(cmd)
}

// SelectsCluster reports whether a command uses a cluster instead of this node. If no flag
// selects a cluster or this node, the `s` parameter determines the result. The `nodes` parameter is
// true if the user set the flag --node, which selects nodes of a cluster.
func (f *Flags) SelectsCluster(s Scope, nodes bool) (bool, error) {
	given := nodes || f.Given()
	if given && f.stateDir != "" {
		return false, input.Errorf("--state-dir selects this node, so it cannot be used with --node, --context or another flag that selects a cluster")
	}
	return given || s == Cluster && f.stateDir == "", nil
}

// NodeDir returns the state directory of this node: the value of the flag, or the default.
func (f *Flags) NodeDir() string {
	if f.stateDir == "" {
		return DefaultStateDir
	}
	return f.stateDir
}

// ConnectTo returns a connection to the selected cluster. If no cluster is configured, the
// error lists flags that select a cluster or this node.
func (f *Flags) ConnectTo(cmd *cobra.Command) (*live.Connection, error) {
	connection, err := f.Connect()
	if errors.Is(err, live.ErrNoCluster) {
		return nil, input.Errorf("no cluster: %w; give --kubeconfig, or --state-dir on a node; see %s --help", err, cmd.CommandPath())
	}
	return connection, err
}

// NotRunning adds advice for the user to the error if no dataplane is running with a state
// directory. It returns any other error unchanged.
func NotRunning(err error, stateDir string) error {
	if !errors.Is(err, status.ErrNotRunning) {
		return err
	}
	return fmt.Errorf(`%w
  Is "sluice dataplane --state-dir %s" running on this node, as a service or in a pod?
  Does it use another --state-dir? May this user open the socket? (root may)
  The rules of a stopped dataplane stay installed. To list them: nft list table inet sluice`, err, stateDir)
}
