// Package findings runs lint on the policies of a cluster and keeps the findings up to date.
//
// The findings about a policy depend only on objects of the policy's namespace (see
// lint.RunNamespace), so a change requires only a check of one namespace. A namespace whose check
// takes long is checked less often, so that the tenants of this namespace cannot delay the findings
// of other namespaces.
//
// The findings about ClusterNetworkPolicies depend on all objects of the cluster (see lint.RunTiers).
// Every change leads to a check of all ClusterNetworkPolicies, which is limited like the checks of
// one namespace.
//
//	changed namespaces --> turns.go --> findings.go --> policies whose findings changed
package findings
