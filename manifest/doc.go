// Package manifest reads Kubernetes objects from files, directories and
// standard input, the way kubectl does, for everything that Sluice answers
// without a cluster.
//
// It understands YAML streams, JSON, streams of JSON values, and lists (List,
// PodList, NamespaceList, NodeList, NetworkPolicyList, also inside each other),
// so hand-written files and `kubectl get -o yaml|json` dumps both do. Of the
// kinds it takes Pod, Namespace, Node and networking.k8s.io/v1 NetworkPolicy;
// every other kind is counted and skipped. Objects get the defaults that the
// API server gives.
//
// What the API server would not take is an error that names file, line, object
// and field. What it would take and what still cannot be understood, such as a
// CIDR with a typo, is no error here: package policy reports it as a problem
// of that policy.
package manifest
