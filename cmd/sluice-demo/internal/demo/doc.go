// Package demo enforces the policies from manifests on real connections. It requires Linux
// and root. It does not require a cluster.
//
// The demo creates network namespaces for a node and its pods, publishes the compiled tree,
// and runs the real dataplane in the network namespace of the node. The ends of connections
// are the pods, the node and addresses outside the node. The demo opens connections between
// all ends, and compares the results with the policies. Then it changes the policies while
// the dataplane runs, and compares the results again.
//
// All pods run on one node. Outside the node, the demo creates one address in each ipBlock, one
// address in each range of the except list of an ipBlock, and one address that is in no
// ipBlock.
package demo
