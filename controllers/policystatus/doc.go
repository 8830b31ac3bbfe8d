// Package policystatus maintains one PolicyStatus for each NetworkPolicy. The PolicyStatus
// reports on which nodes the policy is enforced, and what lint found in the policy. For each
// ClusterNetworkPolicy, the package maintains a ClusterPolicyStatus and a condition of the policy.
//
//	policies, Pods, NodeEnforcers --> which nodes enforce which policy       cluster/
//	policies, Pods, Namespaces    --> what lint finds in which policy        findings/
//	both results                  --> PolicyStatus, ClusterPolicyStatus      status.go
//	the first result              --> condition of a ClusterNetworkPolicy    condition.go
//
// A node enforces the current version of a policy if its NodeEnforcer contains the digest of the
// policy and of the selected pods on the node (see package digest). A status is always computed
// from the current objects. Nothing is learned from the order of events, so a restarted operator
// computes the same statuses and writes nothing.
package policystatus
