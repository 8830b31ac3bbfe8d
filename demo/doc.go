// Package demo shows a set of manifests at work on a machine that has nothing
// but Linux and root: it makes a node and the pods out of network namespaces,
// publishes the compiled tree, runs the real dataplane in that node, opens real
// connections from everybody to everybody, and sets what became of them beside
// what the policies say. Then it changes the policies under the running
// dataplane and looks again.
//
// All pods are put on one node. Of the outside it makes as much as the policies
// can tell apart: an address inside each ipBlock, one inside each except, and
// one that no block has.
package demo
