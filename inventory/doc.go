// Package inventory defines a Set of Kubernetes objects that affect verdicts. The objects are
// converted to the types of package policy. Each object has an origin: the file and line, or
// the cluster, from which it was read. Package manifest reads a Set from files, and package
// live reads a Set from a running cluster.
package inventory
