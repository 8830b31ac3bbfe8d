// Package inventory holds a set of Kubernetes objects that decide about flows,
// reduced to the model of package policy, together with the place each object
// came from. Package manifest reads such a set from files, package live from a
// running cluster.
package inventory
