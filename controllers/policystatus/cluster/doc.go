// Package cluster indexes the objects from which PolicyStatuses and ClusterPolicyStatuses are
// computed: policies, pods, and what each node reports. The function Observe computes the state of
// one policy from the index. It depends only on the current objects, never on the order of their
// changes.
//
// The index stores nothing for a pair of a policy and a node, because a large cluster has
// millions of such pairs. If the report of a node changes, the index finds the affected policies
// by comparing the old report and the new report with the policies that select pods of the node.
package cluster
