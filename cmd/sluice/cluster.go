package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/live"
)

// clusterFlags are the flags that say which cluster, named as kubectl names them.
type clusterFlags struct {
	options live.Options
}

func (c *clusterFlags) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.options.Kubeconfig, "kubeconfig", "", "`file` that says how to reach the cluster; else as kubectl does")
	cmd.Flags().StringVar(&c.options.Context, "context", "", "`context` of the kubeconfig; else its current one")
}

// given reports whether the user named a cluster.
func (c *clusterFlags) given() bool { return c.options != live.Options{} }

// connect gives the way to the cluster. What is wrong with the kubeconfig is
// wrong input; live.ErrNoCluster stays what it is.
func (c *clusterFlags) connect() (*live.Connection, error) {
	connection, err := live.Connect(c.options)
	if err != nil && !errors.Is(err, live.ErrNoCluster) {
		return nil, inputError{err}
	}
	return connection, err
}
