// Package findings runs lint on the policies of a cluster and keeps the findings up to date.
//
// The findings about a policy depend only on objects of the policy's namespace (see
// lint.RunNamespace). Therefore, after a change, only one namespace must be checked. If the
// check of a namespace takes long, this namespace is checked less often, so that its tenants
// cannot delay the findings of other namespaces.
//
// The findings about ClusterNetworkPolicies depend on all objects of the cluster (see
// lint.RunTiers). Therefore, after every change, all ClusterNetworkPolicies are checked. The
// limit for the checks of one namespace also applies to these checks.
//
//	changed namespaces --> turns.go --> findings.go --> policies whose findings changed
package findings
