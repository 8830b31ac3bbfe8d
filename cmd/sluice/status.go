package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/cmd/sluice/internal/scope"
	"github.com/sluicenet/sluice/dataplane/status"
	querystatus "github.com/sluicenet/sluice/query/status"
)

const nodeStatusHelp = `Shows the state of the dataplane that runs with the state directory: the generation that
it enforces, a published tree that was rejected, verdicts and drops, and the result of
the last re-evaluation of open connections. The exit code is 1 if no dataplane is running.

With --kubeconfig or --context it sums up what the nodes of a cluster report. With --node
it shows the state of the dataplane of a node of the cluster.`

const clusterStatusHelp = `Sums up what the operator and the agents report: whether every node enforces
policies, which nodes do not or enforce an earlier generation, and which policies are not
enforced or not understood.
The exit code is 1 if something is not enforced as it should be.

With --node it shows the state of the dataplane of a node. That needs the right to get
nodestatuses.observe.policy.sluice.dev.

With --state-dir it shows the state of the dataplane of this node.`

func statusCommand(s scope.Scope) *cobra.Command {
	var out output.Format
	var flags scope.Flags
	var node string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether the policies are enforced",
		Long:  nodeStatusHelp,
		Example: `  sluice status
  sluice status --state-dir /run/sluice -o json | jq .generation`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := flags.SelectsCluster(s, node != "")
			switch {
			case err != nil:
				return err
			case node != "":
				return remoteStatus(cmd, &flags, node, &out)
			case cluster:
				return clusterStatus(cmd, &flags, &out)
			default:
				return nodeStatus(cmd, flags.NodeDir(), &out)
			}
		},
	}
	if s == scope.Cluster {
		cmd.Long = clusterStatusHelp
		cmd.Example = `  sluice status
  sluice status --context production -o json | jq .policies.problems
  sluice status --node node-a`
	}
	cmd.Flags().StringVar(&node, "node", "", "show the dataplane of the node of this `name`")
	flags.AddTo(cmd, s)
	out.AddTo(cmd, output.Text, output.Wide, output.JSON, output.YAML)
	return cmd
}

func nodeStatus(cmd *cobra.Command, stateDir string, out *output.Format) error {
	s, err := status.Read(cmd.Context(), stateDir)
	if err != nil {
		return scope.NotRunning(err, stateDir)
	}
	return out.Write(cmd, querystatus.NewNode(s, time.Now()))
}

// remoteStatus reads the status of a node's dataplane through the API server, and writes it.
func remoteStatus(cmd *cobra.Command, flags *scope.Flags, node string, out *output.Format) error {
	connection, err := flags.ConnectTo(cmd)
	if err != nil {
		return err
	}
	content, err := connection.NodeStatus(cmd.Context(), node)
	if err != nil {
		return err
	}
	s, err := querystatus.ReadNode(content, time.Now())
	if err != nil {
		return err
	}
	return out.Write(cmd, s)
}

func clusterStatus(cmd *cobra.Command, flags *scope.Flags, out *output.Format) error {
	connection, err := flags.ConnectTo(cmd)
	if err != nil {
		return err
	}
	reports, err := connection.Reports(cmd.Context())
	if err != nil {
		return err
	}
	s := querystatus.NewCluster(connection.Name, querystatus.Reports(*reports))
	if err := out.Write(cmd, s); err != nil {
		return err
	}
	if !s.Enforced {
		return output.ErrReported
	}
	return nil
}
