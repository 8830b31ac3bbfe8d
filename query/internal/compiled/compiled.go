// Package compiled compiles policies into trees in memory.
package compiled

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
)

// Builder returns a builder with the rules of a node.
func Builder(s *policy.Snapshot, node string) (*build.Builder, error) {
	compiler := compile.New(s, node)
	defer compiler.Close()
	builder := build.New(node)
	if err := builder.Apply(compiler.Delta()); err != nil {
		return nil, fmt.Errorf("building the tree of node %q: %w", node, err)
	}
	return builder, nil
}

// Tree returns the tree of a node.
func Tree(s *policy.Snapshot, node string) (*tree.Tree, error) {
	builder, err := Builder(s, node)
	if err != nil {
		return nil, err
	}
	return Encoded(builder)
}

// Encoded returns the tree of a builder. The tree has the same content as a published tree, but it
// is not in a file.
func Encoded(builder *build.Builder) (*tree.Tree, error) {
	image, err := builder.Encode(1)
	if err != nil {
		return nil, err
	}
	return tree.Decode(image.Words())
}
