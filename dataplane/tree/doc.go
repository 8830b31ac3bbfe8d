// Package tree holds the rules of one node as one immutable file that packets
// are judged from where it lies: a Builder follows the node's rules change by
// change, a Publisher puts them into a state directory, Open maps them and
// Tree.Evaluate evaluates a flow. Everything is decided when the tree is built; a
// lookup only walks.
//
// The file is flat and position-independent; docs/tree-format.md draws it.
// Open checks every offset and count in it once, so that a lookup on any file
// that opens ends and stays inside the mapping.
package tree
