package query

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/policy/compile"
	"github.com/sluicenet/sluice/query/internal/phrase"
	"github.com/sluicenet/sluice/query/question"
)

// Publication describes a published tree.
type Publication struct {
	TypeMeta
	Node       string `json:"node"`
	Path       string `json:"path"`
	Generation uint64 `json:"generation"`
	// Pods is the number of pods in the tree. IsolatedPods is the number of pods in the tree
	// that are isolated in at least one direction.
	Pods         int `json:"pods"`
	IsolatedPods int `json:"isolatedPods"`
	// Policies is the number of policies in the cluster.
	Policies int   `json:"policies"`
	Bytes    int64 `json:"bytes"`
	// Seconds is the duration of compiling and publishing the tree, in seconds.
	Seconds float64 `json:"seconds"`
}

// Publish compiles the tree of a node and publishes the tree in a state directory. A dataplane
// that runs with this directory then enforces the tree. If the `node` parameter is empty, the tree
// contains the pods that are not bound to a node. Otherwise the node must have a Node object or a
// pod. If it has neither, Publish returns an *InputError.
func (c *Cluster) Publish(node, stateDir string) (*Publication, error) {
	if known := c.nodes(); node != "" && !slices.Contains(known, node) {
		return nil, question.Errorf("node", node, "no Node object has that name, and no pod is bound to it; there %s", are(known))
	}
	start := time.Now()
	generation, err := c.publish(node, stateDir)
	if err != nil {
		return nil, err
	}
	p := &Publication{
		TypeMeta: NewTypeMeta("Publication"), Node: node, Generation: generation, Policies: len(c.set.Policies),
		Path: statedir.Tree(stateDir, generation), Seconds: time.Since(start).Seconds(),
	}
	return p, p.read()
}

// publish compiles the tree of a node and publishes it in a state directory.
func (c *Cluster) publish(node, stateDir string) (generation uint64, err error) {
	compiler := compile.New(c.snapshot, node)
	defer compiler.Close()
	builder := build.New(node)
	if err := builder.Apply(compiler.Delta()); err != nil {
		return 0, fmt.Errorf("building tree: %w", err)
	}
	publisher, err := statedir.NewPublisher(stateDir)
	if err != nil {
		return 0, err
	}
	return publisher.Publish(builder)
}

// read opens the published tree as the dataplane does. It sets the numbers of pods and the
// size of the tree.
func (p *Publication) read() error {
	t, err := tree.Open(p.Path)
	if err != nil {
		return err
	}
	p.Bytes = t.Size()
	for pod := range t.Pods() {
		p.Pods++
		if pod.DeniesIngress || pod.DeniesEgress {
			p.IsolatedPods++
		}
	}
	return t.Close()
}

// nodes lists, in ascending order, all nodes that have a Node object or to which a pod is bound.
func (c *Cluster) nodes() []string {
	names := map[string]bool{}
	for _, n := range c.snapshot.Nodes() {
		names[n.Name] = true
	}
	for _, p := range c.snapshot.Pods() {
		if p.Node != "" {
			names[p.Node] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// WriteText writes one line that describes the publication.
func (p *Publication) WriteText(out io.Writer) error {
	took := time.Duration(p.Seconds * float64(time.Second)).Round(10 * time.Microsecond)
	_, err := fmt.Fprintf(out, "generation %d for node %q: %d of %s isolated, %s in the cluster; %d bytes in %s; %s\n",
		p.Generation, p.Node, p.IsolatedPods, phrase.Number(p.Pods, "pod", "pods"), phrase.Number(p.Policies, "policy", "policies"), p.Bytes, took, p.Path)
	if err != nil {
		return fmt.Errorf("writing publication: %w", err)
	}
	return nil
}
