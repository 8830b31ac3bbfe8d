// Package inventory defines a Set: the Kubernetes objects that affect verdicts,
// converted to the types of package policy, each with the file and line or the
// cluster that it was read from. Package manifest reads a Set from files, and
// package live reads a Set from a running cluster.
package inventory
