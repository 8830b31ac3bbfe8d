// Package tree reads the rules of one node from an immutable file. On Linux, Open maps the file
// into memory, and Tree.Evaluate evaluates flows directly on the mapping. Decode reads a tree that
// is already in memory, on every platform.
//
// Package build applies changes to the rules and encodes the rules as a tree. Package
// statedir publishes the tree. All selectors, ports and priorities are resolved when the
// tree is built, so an evaluation only searches the tree.
//
// The file is flat and position-independent. docs/tree-format.md shows the layout. Open and
// Decode check every offset and count once. Therefore, if they return no error, every evaluation
// with the tree terminates and never reads outside the content of the file.
package tree
