package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/cmd/sluice/internal/versions"
)

func versionCommand() *cobra.Command {
	var cluster input.ClusterFlags
	var out output.Format
	var clientOnly bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the versions of this program, of Kubernetes, and of Sluice in the cluster",
		Long: `Shows the version of this program. If a cluster is configured, it also shows the version of
Kubernetes, and the versions of the operator, the agents and the dataplanes in the
cluster, which they report in the status of their objects. With --client it reads no
cluster.

-o wide lists the versions of each node.`,
		Example: `  sluice version
  sluice version --client -o json | jq -r .client.version`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versions.New()
			var err error
			if !clientOnly {
				err = v.Read(cmd.Context(), &cluster)
			}
			if writeErr := out.Write(cmd, v); writeErr != nil {
				return writeErr
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "show only the version of this program")
	cluster.AddFlags(cmd)
	out.AddTo(cmd, output.Text, output.Wide, output.JSON, output.YAML)
	return cmd
}
