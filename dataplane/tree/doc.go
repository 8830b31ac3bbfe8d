// Package tree reads the rules of one node from an immutable file. Open maps the file into
// memory, and Tree.Evaluate evaluates flows directly on the mapping.
//
// Package build applies changes to the rules and encodes the rules as a tree. Package
// statedir publishes the tree. All selectors, ports and priorities are resolved when the
// tree is built, so an evaluation only searches the tree.
//
// The file is flat and position-independent. docs/tree-format.md shows the layout. Open checks
// every offset and count once. Therefore, if Open returns no error, every evaluation with the
// tree terminates and never reads outside the mapping.
package tree
