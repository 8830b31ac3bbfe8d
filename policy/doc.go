// Package policy defines the meaning of policies. Only this package interprets selectors,
// ports, address blocks and defaults.
//
// The type Policy is the parsed form of a policy object. Package read converts a
// NetworkPolicy to a Policy. A Snapshot contains the cluster objects that determine the effect
// of policies: namespaces, pods, nodes and policies. Package compile turns a snapshot into the
// rules of one node. Package lint finds policies that probably do not do what their authors
// meant.
//
// The package performs no I/O and does not read the clock, so its results depend only on the
// objects.
package policy
