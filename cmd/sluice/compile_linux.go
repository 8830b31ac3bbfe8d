package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/publication"
)

func compileCommand() *cobra.Command {
	var in input.Input
	var out output.Format
	var node, stateDir string
	cmd := &cobra.Command{
		Use:   "compile -f DIR --node NAME --state-dir DIR",
		Short: "Publish the tree of a node without an API server",
		Long: `Compiles the policies for one node and publishes the tree in the state directory, where
a running dataplane enforces it. If the manifests have an error, the
state directory does not change.

It rejects the state directory of a running agent, because the tree would replace the
one that the node enforces.`,
		Example: `  sluice compile -f manifests/ --node worker-1 --state-dir /tmp/worker-1`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !cmd.Flags().Changed("node"):
				return wrongf("--node is missing: give the name of the node to compile for")
			case stateDir == "":
				return wrongf("--state-dir is missing: give the directory in which to publish the tree")
			}
			if err := withoutAgent(stateDir); err != nil {
				return err
			}
			p, err := compile(cmd, &in, node, stateDir)
			if err != nil {
				return err
			}
			return out.Write(cmd, p)
		},
	}
	in.AddFlag(cmd)
	out.AddTo(cmd, output.Text, output.JSON, output.YAML)
	cmd.Flags().StringVar(&node, "node", "", "`name` of the node; \"\" compiles for pods that are not bound to a node")
	cmd.Flags().StringVar(&stateDir, "state-dir", "", "`directory` to publish the tree in")
	return cmd
}

// withoutAgent returns an error if an agent uses the state directory. Without this check, the
// command sluice compile could replace the tree that the node enforces.
func withoutAgent(stateDir string) error {
	alive, err := statedir.AgentAlive(stateDir)
	if err != nil || !alive {
		return err
	}
	return wrongf("--state-dir %s: an agent is running with this directory, and its node enforces the tree there; "+
		"give another directory, or stop the agent first", stateDir)
}

func compile(cmd *cobra.Command, in *input.Input, node, stateDir string) (p *publication.Publication, err error) {
	set, err := in.Read(cmd)
	if err != nil {
		return nil, err
	}
	cluster := query.NewCluster(set)
	defer closing(cluster, &err)
	input.NoteAll(cmd.ErrOrStderr(), cluster.Notes())
	return publication.Publish(cluster, node, stateDir)
}
