// Package findings runs lint on the policies of a cluster and keeps the findings up to date.
//
// The findings about a policy depend only on objects of the policy's namespace (see
// lint.RunNamespace), so a change requires only a check of one namespace. A namespace whose check
// takes long is checked less often, so that the tenants of this namespace cannot delay the findings
// of other namespaces.
//
//	changed namespaces --> turns.go --> findings.go --> policies whose findings changed
package findings
