// Package demo enforces the policies of manifests on real connections. It requires
// Linux and root. It does not require a cluster.
//
// The demo creates network namespaces for a node and its pods, publishes the compiled
// tree, and runs the real dataplane in the namespace of the node. Then it opens
// connections between all ends (the pods, the node and addresses outside the node) and
// compares the results with the policies. After that it changes the policies while the
// dataplane runs, and compares the results again.
//
// All pods run on one node. Outside the node, the demo creates one address in each
// ipBlock, one address in each except of an ipBlock, and one address that is in no
// ipBlock.
package demo
