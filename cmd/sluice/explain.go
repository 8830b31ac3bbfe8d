package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/cmd/sluice/internal/usage"
	"github.com/sluicenet/sluice/query"
)

func explainCommand() *cobra.Command {
	var in input.Input
	var out output.Format
	var stateDir string
	var expected input.Expectation
	var question query.ExplainQuestion
	cmd := &cobra.Command{
		Use:   "explain [-f DIR|--state-dir DIR] --from POD|IP --to POD|SERVICE|IP --port N",
		Short: "Explain whether a flow is allowed, and which rule decides",
		Long: `Explains what the policies decide about one flow. For each direction it shows the
policies that isolate the pod and the rule that decided. If no rule did, it shows
the rules that almost match.

It reads the cluster of the kubeconfig, or the manifests of -f. Pods in manifests that
have no address get one from 198.18.0.0/15 and 2001:2::/48. With --state-dir it reads
the tree that this node enforces. This tree contains only the names of the pods on this
node, so give the addresses of pods on other nodes.

Give a pod as namespace/name, as a name, or by its Deployment or other controller, such
as deploy/web. If the destination is a Service, such as svc/db or its address,
each of its backends is evaluated.`,
		Example: `  sluice explain --from web --to shop/db-0 --port 5432
  sluice explain -n shop --from deploy/web --to svc/db --port 5432
  sluice explain -f manifests/ --from web --to shop/db-0 --port 5432 --expect allow
  sluice explain -f manifests/ --from 203.0.113.7 --to web --port http
  sluice explain --state-dir /run/sluice --from 10.0.1.7 --to shop/db-0 --port 5432`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := explain(cmd, &in, stateDir, question)
			if err != nil {
				return err
			}
			if err := out.Write(cmd, e); err != nil {
				return err
			}
			return expected.Check(e.Verdict)
		},
	}
	in.AddClusterFlags(cmd)
	out.AddTo(cmd, output.Text, output.Wide, output.JSON, output.YAML)
	addTargetFlags(cmd, &question.Target, "destination port, a `number` or a name, such as 80, 53/UDP or\nhttp; ICMP has none")
	cmd.Flags().StringVar(&stateDir, "state-dir", "", "evaluate the tree of this node in this state `directory`")
	cmd.Flags().StringVar(&question.From, "from", "", "source of the connection: a `pod` or an IP address")
	cmd.Flags().StringVar(&question.To, "to", "", "destination of the connection: a `pod`, a Service or an IP address")
	expected.AddTo(cmd)
	cmd.Flags().StringVarP(&question.Namespace, "namespace", "n", "", "`namespace` of pods that are given by name only")
	return cmd
}

func explain(cmd *cobra.Command, in *input.Input, stateDir string, question query.ExplainQuestion) (e *query.Explanation, err error) {
	if stateDir != "" {
		if err := in.None("--state-dir"); err != nil {
			return nil, err
		}
		return explainInTree(stateDir, question)
	}
	cluster, err := in.PlannedCluster(cmd)
	if err != nil {
		return nil, err
	}
	defer closing(cluster, &err)
	if question.Namespace == "" {
		question.Namespace = in.Namespace
	}
	e, err = cluster.Explain(question)
	if err == nil && in.Connection != nil {
		usage.Explain(cmd, in.Connection, e)
	}
	return e, err
}

// explainInTree evaluates a flow with the currently published tree in a state directory.
func explainInTree(stateDir string, question query.ExplainQuestion) (e *query.Explanation, err error) {
	t, err := openPublished(stateDir)
	if err != nil {
		return nil, err
	}
	defer closing(t, &err)
	return query.ExplainInTree(t, question)
}
