// Package policy defines what policies mean. It is the only place where
// selectors, ports, address blocks and defaults are interpreted.
//
// Policy is the model of a policy. ReadNetworkPolicy reads a NetworkPolicy into
// it. A Snapshot holds the objects of a cluster that policies depend on:
// namespaces, pods, nodes and policies. Package compile turns a snapshot into
// the rules of one node, and package lint finds policies that probably do not do
// what their authors meant.
//
// The package does no I/O and reads no clock: the same objects always mean the
// same.
package policy
