// Package publication publishes the tree of a node without an API server. It builds only on Linux,
// because package statedir does.
package publication

import (
	"fmt"
	"io"
	"time"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/internal/phrase"
)

// Publication describes a published tree.
type Publication struct {
	query.TypeMeta
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
// contains the pods that are not bound to a node.
func Publish(c *query.Cluster, node, stateDir string) (*Publication, error) {
	start := time.Now()
	builder, err := c.Compile(node)
	if err != nil {
		return nil, err
	}
	publisher, err := statedir.NewPublisher(stateDir)
	if err != nil {
		return nil, err
	}
	generation, err := publisher.Publish(builder)
	if err != nil {
		return nil, err
	}
	p := &Publication{
		TypeMeta: query.NewTypeMeta("Publication"), Node: node, Generation: generation, Policies: c.Policies(),
		Path: statedir.Tree(stateDir, generation), Seconds: time.Since(start).Seconds(),
	}
	return p, p.read()
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
