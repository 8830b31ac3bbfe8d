// Package policy defines the meaning of policies. Only this package interprets selectors,
// ports, address blocks and defaults.
//
// Policy is the model of a policy. ReadNetworkPolicy reads a NetworkPolicy into
// it. A Snapshot holds the objects of a cluster that policies depend on:
// namespaces, pods, nodes and policies. Package compile turns a snapshot into
// the rules of one node, and package lint finds policies that probably do not do
// what their authors meant.
//
// The package does no I/O and does not read the clock. Equal objects always have the same
// meaning.
package policy
