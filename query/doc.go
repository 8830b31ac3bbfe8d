// Package query answers questions about NetworkPolicies: whether a flow is
// allowed and why (Explanation), which pods can open connections to each other
// (Matrix), which policies probably do not do what their authors meant
// (LintReport), and what a node or a cluster enforces (NodeStatus,
// ClusterStatus).
//
// Answers are values. WriteText writes an answer for people. The JSON form of
// an answer has the apiVersion query.sluice.dev/v1alpha1 and a kind.
//
// A Cluster answers questions about a set of objects. It compiles, publishes
// and maps the same trees as a node does, and evaluates flows with the same
// function. A question that cannot be answered is an *InputError.
package query
