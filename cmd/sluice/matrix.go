package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/cmd/sluice/internal/terminal"
	"github.com/sluicenet/sluice/query"
)

func matrixCommand() *cobra.Command {
	var in input.Input
	var out output.Format
	var question query.MatrixQuestion
	cmd := &cobra.Command{
		Use:   "matrix [-f DIR] --port N",
		Short: "Show which pods can open connections to each other, as a table",
		Long: `Shows which connections the policies allow on one port, from the pod of each row to
the pod of each column. Pods of one Deployment, StatefulSet or other controller share
a row and a column if the policies treat them alike.

It reads the cluster of the kubeconfig, or the manifests of -f. Pods in manifests that
have no address get one from 198.18.0.0/15 and 2001:2::/48. The pod template of a
workload without pods counts as a pod.`,
		Example: `  sluice matrix --port 5432 -n shop
  sluice matrix -f manifests/ --port 5432
  sluice matrix -f manifests/ --port 53 --protocol UDP -n shop -n kube-system
  sluice matrix -f manifests/ --port 80 --address 203.0.113.7 -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := matrix(cmd, &in, &question)
			if err != nil {
				return err
			}
			m.Width = terminal.Width(cmd.OutOrStdout())
			return out.Write(cmd, m)
		},
	}
	in.AddClusterFlags(cmd)
	out.AddTo(cmd, output.Text, output.Wide, output.JSON, output.YAML)
	addTargetFlags(cmd, &question.Target, "destination port, a `number` or a name, such as 80, 53/UDP or\nhttp; ICMP has none")
	cmd.Flags().StringArrayVarP(&question.Namespaces, "namespace", "n", nil, "show only pods in this `namespace`; repeatable")
	cmd.Flags().StringArrayVar(&question.Addresses, "address", nil, "add this `address` outside the cluster to the table; repeatable")
	return cmd
}

func matrix(cmd *cobra.Command, in *input.Input, question *query.MatrixQuestion) (m *query.Matrix, err error) {
	if err := question.Validate(); err != nil {
		return nil, err
	}
	cluster, err := in.PlannedCluster(cmd)
	if err != nil {
		return nil, err
	}
	defer closing(cluster, &err)
	defer terminal.Progress(cmd.ErrOrStderr(), "evaluating")()
	return cluster.Matrix(question)
}
