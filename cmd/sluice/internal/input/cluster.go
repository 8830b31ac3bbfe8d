package input

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/live"
)

// ClusterFlags are the flags that select a cluster. They have the same names as kubectl's
// flags.
type ClusterFlags struct {
	options live.Options
}

// AddFlags adds the flags to a command.
func (c *ClusterFlags) AddFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.options.Kubeconfig, "kubeconfig", "", "kubeconfig `file` (default as for kubectl)")
	cmd.Flags().StringVar(&c.options.Context, "context", "", "`name` of a context in the kubeconfig (default the current one)")
}

// Given reports whether the user set a flag that selects a cluster.
func (c *ClusterFlags) Given() bool { return c.options != live.Options{} }

// Connect returns a connection to the selected cluster. If no cluster is configured, it
// returns live.ErrNoCluster. For any other error in the kubeconfig, it returns an Error.
func (c *ClusterFlags) Connect() (*live.Connection, error) {
	connection, err := live.Connect(c.options)
	if err != nil && !errors.Is(err, live.ErrNoCluster) {
		return nil, Error{err}
	}
	return connection, err
}
