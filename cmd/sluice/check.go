package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/check"
	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/cmd/sluice/internal/terminal"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/internal/buildinfo"
	"github.com/sluicenet/sluice/live"
)

func checkCommand() *cobra.Command {
	var cluster input.ClusterFlags
	var out output.Format
	var namespace string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check whether a cluster meets the requirements, before and after an installation",
		Long: `Checks the version and the API groups of the cluster, the rights of the caller, the nodes,
the pod network, other policy engines, kube-proxy, and what the namespace of Sluice
admits. If Sluice is installed, it also checks its
CustomResourceDefinitions, rights and pods, and the problems that the nodes report. It
changes nothing.

Each line has a result: ok, warning, failed or skipped. The exit code is 1 if a check
failed, and 2 if the API server cannot be reached.

The API server does not report the features of a kernel. Before an installation, run
"sluice dataplane --check" as root on one node of each kind.`,
		Example: `  sluice check
  sluice check -o json | jq -r '.checks[] | select(.result == "failed") | .fix'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			connection, err := connectForCheck(cmd, &cluster)
			if err != nil {
				return err
			}
			done := terminal.Progress(cmd.ErrOrStderr(), "reading the cluster")
			facts, err := check.Read(cmd.Context(), connection, buildinfo.Version(), namespace)
			done()
			if err != nil {
				return wrongf("cannot check: %w", err)
			}
			return writeChecks(cmd, &out, check.NewReport("Cluster "+connection.Name, check.Checks(facts)))
		},
	}
	addSystemNamespaceFlag(cmd, &namespace)
	cluster.AddFlags(cmd)
	out.AddTo(cmd, output.Text, output.JSON, output.YAML)
	return cmd
}

// addSystemNamespaceFlag adds a flag for the namespace in which Sluice is installed.
func addSystemNamespaceFlag(cmd *cobra.Command, namespace *string) {
	cmd.Flags().StringVarP(namespace, "namespace", "n", rbac.Namespace, "`namespace` of the operator")
}

// connectForCheck connects to the selected cluster. A missing configuration is an input.Error.
func connectForCheck(cmd *cobra.Command, cluster *input.ClusterFlags) (*live.Connection, error) {
	connection, err := cluster.Connect()
	if errors.Is(err, live.ErrNoCluster) {
		return nil, wrongf("no cluster: %w; give --kubeconfig; see %s --help", err, cmd.CommandPath())
	}
	return connection, err
}

// writeChecks writes a report. If a check failed, it returns output.ErrReported.
func writeChecks(cmd *cobra.Command, out *output.Format, r *check.Report) error {
	if err := out.Write(cmd, r); err != nil {
		return err
	}
	if r.Failed() {
		return output.ErrReported
	}
	return nil
}
