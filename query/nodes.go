package query

import (
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/query/internal/compiled"
	"github.com/sluicenet/sluice/query/question"
)

// Compile returns a builder with the rules of a node. If the `node` parameter is empty, the rules are
// those of the pods that are not bound to a node. Otherwise the node must have a Node object or a pod.
// If it has neither, Compile returns an *InputError.
func (c *Cluster) Compile(node string) (*build.Builder, error) {
	if known := c.nodes(); node != "" && !slices.Contains(known, node) {
		return nil, question.Errorf("node", node, "no Node object has that name, and no pod is bound to it; there %s", are(known))
	}
	return compiled.Builder(c.snapshot, node)
}

// Policies returns the number of policies.
func (c *Cluster) Policies() int { return len(c.set.Policies) }

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
