package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query"
)

// compileCommand publishes a node's tree without an API server.
func compileCommand() *cobra.Command {
	var in input
	var out output
	var node, stateDir string
	cmd := &cobra.Command{
		Use:   "compile -f DIR --node NAME --state-dir DIR",
		Short: "Publish a node's tree without an API server",
		Long: `Compiles the policies for one node and publishes the tree in the state directory,
where a running dataplane picks it up. If the manifests have any error, the state
directory stays as it is. A state directory in which an agent is running is refused.`,
		Example: `  sluice compile -f manifests/ --node worker-1 --state-dir /run/sluice`,
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
			return compile(cmd, &in, &out, node, stateDir)
		},
	}
	in.addFlag(cmd)
	out.addFlag(cmd)
	cmd.Flags().StringVar(&node, "node", "", "`node` to compile for; \"\" is for pods that are bound to none")
	cmd.Flags().StringVar(&stateDir, "state-dir", "", "`directory` to publish the tree in; no agent may be running with it")
	return cmd
}

// withoutAgent returns an error if an agent is running with the state
// directory: the tree would replace the one that the node enforces.
func withoutAgent(stateDir string) error {
	alive, err := statedir.AgentAlive(stateDir)
	if err != nil || !alive {
		return err
	}
	return wrongf("--state-dir %s: an agent is running with this directory, and its node enforces the tree there; "+
		"give another directory, or stop the agent first", stateDir)
}

// compiled is what compile reports.
type compiled struct {
	Node       string  `json:"node"`
	Path       string  `json:"path"`
	Generation uint64  `json:"generation"`
	Pods       int     `json:"pods"`
	Isolated   int     `json:"isolatedPods"`
	Policies   int     `json:"policies"`
	Bytes      int64   `json:"bytes"`
	Seconds    float64 `json:"seconds"`
}

func compile(cmd *cobra.Command, in *input, out *output, node, stateDir string) error {
	set, err := in.read(cmd)
	if err != nil {
		return err
	}
	cluster := query.NewCluster(set)
	snapshot := cluster.Snapshot()
	noteAll(cmd.ErrOrStderr(), cluster.Notes())
	if known := nodeNames(snapshot); !slices.Contains(known, node) {
		return wrongf("--node %s: no Node and no pod among the manifests is of that name; there are %s", node, strings.Join(known, ", "))
	}
	begin := time.Now()
	compiler := snapshot.Compile(node)
	defer compiler.Close()
	builder := build.New(node)
	if err := builder.Apply(compiler.Delta()); err != nil {
		return fmt.Errorf("building tree: %w", err)
	}
	publisher, err := statedir.NewPublisher(stateDir)
	if err != nil {
		return err
	}
	generation, err := publisher.Publish(builder)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	r, err := writeReport(filepath.Join(stateDir, "tree", fmt.Sprintf("%d.tree", generation)))
	if err != nil {
		return err
	}
	r.Policies, r.Seconds = len(set.Policies), took.Seconds()
	if out.json() {
		return writeJSON(cmd.OutOrStdout(), r)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "generation %d for node %q: %d of %s isolated, %s in all; %d bytes in %s; %s\n",
		r.Generation, r.Node, r.Isolated, number(r.Pods, "pod", "pods"), number(r.Policies, "policy", "policies"),
		r.Bytes, took.Round(10*time.Microsecond), r.Path)
	return err
}

// report opens the tree that was published, as the dataplane will, and counts
// what is in it.
func writeReport(path string) (r *compiled, err error) {
	t, err := tree.Open(path)
	if err != nil {
		return nil, err
	}
	defer closing(t, &err)
	r = &compiled{Node: t.Node(), Path: path, Generation: t.Generation(), Bytes: t.Size()}
	for pod := range t.Pods() {
		r.Pods++
		if pod.IngressIsolated || pod.EgressIsolated {
			r.Isolated++
		}
	}
	return r, nil
}

// nodeNames lists the nodes that there are objects of or pods on.
func nodeNames(s *policy.Snapshot) []string {
	names := map[string]bool{}
	for _, n := range s.Nodes() {
		names[n.Name] = true
	}
	for _, p := range s.Pods() {
		names[p.Node] = true
	}
	return slices.Sorted(maps.Keys(names))
}
