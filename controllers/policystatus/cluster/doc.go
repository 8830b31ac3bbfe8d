// Package cluster indexes the objects from which PolicyStatuses and ClusterPolicyStatuses are
// computed: policies, pods, and what each node reports. The function Observe computes the state
// of one policy from the index. It depends only on the current objects, never on the order of
// their changes.
//
// The index stores nothing for a pair of a policy and a node, because a large cluster has
// millions of such pairs. When a node's report changes, the index checks each policy that
// selects pods of the node. The policy is affected if the old and the new report differ for
// this policy.
package cluster
