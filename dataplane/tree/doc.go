// Package tree has the rules of one node as one immutable file. The file is mapped
// into memory, and packets are evaluated directly on the mapping.
//
// Package build builds a tree change by change, package statedir publishes it, Open
// maps it and Tree.Evaluate evaluates a flow. Everything is decided when the tree is
// built; an evaluation only walks the tree.
//
// The file is flat and position-independent; docs/tree-format.md draws it. Open
// checks every offset and count once. So an evaluation on any file that Open accepts
// ends, and reads only inside the mapping.
package tree
