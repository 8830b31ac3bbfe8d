package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/judge"
)

// explainCommand tells a person what becomes of a flow and why.
func explainCommand() *cobra.Command {
	var in manifests
	var out output
	var ask explainQuestion
	cmd := &cobra.Command{
		Use:   "explain [-f DIR|--state-dir DIR] --from POD|IP --to POD|IP --port N",
		Short: "Tell whether a flow is allowed, and by what",
		Long: `Tells what becomes of a flow: for both directions which policies isolate the pod,
which rule decided, and if none did, which came nearest.

It judges by the live cluster of the kubeconfig, or with -f by manifests; their pods
without an address get one for planning, from 198.18.0.0/15 and 2001:2::/48. With
--state-dir it judges by the tree that is in force on this node, which knows this
node's pods by name and others by address.

A pod is namespace/name, a name, or the name of its Deployment or other controller.`,
		Example: `  sluice explain --from web --to shop/db-0 --port 5432
  sluice explain -f manifests/ --from web --to shop/db-0 --port 5432
  sluice explain -f manifests/ --from 203.0.113.7 --to web --port http
  sluice explain --state-dir /run/sluice --from 10.0.1.7 --to shop/db-0 --port 5432`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			e, err := ask.answer(cmd, &in)
			if err != nil {
				return err
			}
			if out.json() {
				return writeJSON(cmd.OutOrStdout(), e)
			}
			return e.write(cmd.OutOrStdout())
		},
	}
	in.orCluster(cmd)
	out.addFlag(cmd)
	ask.target.addFlags(cmd)
	cmd.Flags().StringVar(&ask.stateDir, "state-dir", "", "state `directory` with the tree to judge by, in place of -f")
	cmd.Flags().StringVar(&ask.from, "from", "", "who opens the connection: a `pod` or an IP address")
	cmd.Flags().StringVar(&ask.to, "to", "", "who receives it: a `pod` or an IP address")
	cmd.Flags().StringVarP(&ask.namespace, "namespace", "n", "", "`namespace` of pods that are given by name alone")
	return cmd
}

// explainQuestion is what was asked.
type explainQuestion struct {
	target              target
	stateDir            string
	from, to, namespace string
}

func (q *explainQuestion) answer(cmd *cobra.Command, in *manifests) (*explanation, error) {
	switch {
	case q.stateDir != "" && len(in.paths) > 0:
		return nil, wrongf("-f and --state-dir: give one of them")
	case q.stateDir != "" && in.cluster.given():
		return nil, wrongf("--state-dir with --kubeconfig or --context: give this node's tree or a cluster, not both")
	case q.stateDir != "":
		return q.fromTree()
	default:
		return q.fromManifests(cmd, in)
	}
}

func (q *explainQuestion) fromManifests(cmd *cobra.Command, in *manifests) (e *explanation, err error) {
	set, err := in.read(cmd)
	if err != nil {
		return nil, err
	}
	if q.namespace == "" {
		q.namespace = in.namespace
	}
	planAddresses(cmd.ErrOrStderr(), set)
	snapshot := set.Snapshot()
	noteMeaning(cmd.ErrOrStderr(), set, snapshot)
	from, err := findEnd(set, snapshot, "from", q.from, q.namespace)
	if err != nil {
		return nil, err
	}
	to, err := findEnd(set, snapshot, "to", q.to, q.namespace)
	if err != nil {
		return nil, err
	}
	f, err := q.flow(&from, &to)
	if err != nil {
		return nil, err
	}
	if from.Name == "" && to.Name == "" {
		return nil, wrongf("neither %s nor %s is the address of a pod, so no policy applies and nothing is evaluated; "+
			"give a pod (name or namespace/name) or its address for at least one end", &from, &to)
	}
	cluster := judge.New(snapshot)
	defer closing(cluster, &err)
	a, err := cluster.Judge(f)
	if err != nil {
		return nil, err
	}
	texts := newRuleTexts(snapshot)
	e = newExplanation(f, from, to)
	e.Verdict = a.Verdict.String()
	e.Egress = explainSide(texts, rule.Egress, &a.Egress, &to)
	e.Ingress = explainSide(texts, rule.Ingress, &a.Ingress, &from)
	for _, d := range []rule.Direction{rule.Egress, rule.Ingress} {
		near, err := cluster.Near(f, d)
		if err != nil {
			return nil, err
		}
		e.addNear(texts, d, near)
	}
	return e, nil
}

// fromTree answers by the one tree of a node.
func (q *explainQuestion) fromTree() (e *explanation, err error) {
	t, err := tree.Open(filepath.Join(q.stateDir, "tree", "current"))
	if err != nil {
		return nil, wrongf("%w; give the state directory of a running agent or of sluice compile", err)
	}
	defer closing(t, &err)
	from, err := findInTree(t, "from", q.from, q.namespace)
	if err != nil {
		return nil, err
	}
	to, err := findInTree(t, "to", q.to, q.namespace)
	if err != nil {
		return nil, err
	}
	f, err := q.flow(&from, &to)
	if err != nil {
		return nil, err
	}
	if from.Name == "" && to.Name == "" {
		return nil, wrongf("neither %s nor %s is the address of a pod of node %s, so its tree does not evaluate this flow; "+
			"give a pod of this node for at least one end, or use the tree of another node", &from, &to, t.Node())
	}
	decision := t.Evaluate(f)
	e = newExplanation(f, from, to)
	e.Node = t.Node()
	e.Verdict = decision.Verdict().String()
	egress, ingress := judge.SideOf(t, decision.Egress), judge.SideOf(t, decision.Ingress)
	e.Egress = explainSide(nil, rule.Egress, &egress, &to)
	e.Ingress = explainSide(nil, rule.Ingress, &ingress, &from)
	for _, d := range []rule.Direction{rule.Egress, rule.Ingress} {
		e.addNear(nil, d, judge.NearIn(t, f, d))
	}
	return e, nil
}

func (q *explainQuestion) flow(from, to *end) (flow.Flow, error) {
	if err := chooseFamily(from, to); err != nil {
		return flow.Flow{}, err
	}
	return q.target.flow(from, to)
}
