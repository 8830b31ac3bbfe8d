// Package demo enforces a set of manifests on real connections. It needs Linux
// and root, and no cluster.
//
// It makes a node and its pods out of network namespaces, publishes the compiled
// tree, and runs the real dataplane in the node. Then it opens connections from
// every end to every other end and compares the results with the policies. After
// that it changes the policies while the dataplane runs, and compares again.
//
// All pods are on one node. Outside of the node there is an address in each
// ipBlock, one in each except, and one in no block.
package demo
