// Package clusterpolicy reads ClusterNetworkPolicies from an API server that may not serve them.
// The agent and the operator watch the CustomResourceDefinition of ClusterNetworkPolicies, because
// an administrator can install, upgrade and remove it at any time. They watch
// ClusterNetworkPolicies in the version that the API server serves, and only while it serves one.
package clusterpolicy
