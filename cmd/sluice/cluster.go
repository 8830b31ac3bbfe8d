package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/live"
)

// clusterFlags are the flags that select a cluster. They have the same names as kubectl's
// flags.
type clusterFlags struct {
	options live.Options
}

func (c *clusterFlags) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.options.Kubeconfig, "kubeconfig", "", "kubeconfig `file` (default as for kubectl)")
	cmd.Flags().StringVar(&c.options.Context, "context", "", "`name` of a context in the kubeconfig (default the current one)")
}

// given reports whether the user set a flag that selects a cluster.
func (c *clusterFlags) given() bool { return c.options != live.Options{} }

// connect returns a connection to the selected cluster. If no cluster is configured, it
// returns live.ErrNoCluster. For any other error in the kubeconfig, it returns an inputError.
func (c *clusterFlags) connect() (*live.Connection, error) {
	connection, err := live.Connect(c.options)
	if err != nil && !errors.Is(err, live.ErrNoCluster) {
		return nil, inputError{err}
	}
	return connection, err
}
