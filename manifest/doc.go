// Package manifest reads Kubernetes objects from files, directories and standard
// input, as kubectl does, so that policies can be checked without a cluster.
//
// It reads streams of YAML documents, streams of JSON values, and lists: List,
// PodList, NamespaceList, NodeList and NetworkPolicyList, also inside each
// other. Both hand-written files and dumps from `kubectl get -o yaml` or
// `-o json` are valid input. It reads the kinds Pod, Namespace, Node and
// NetworkPolicy (networking.k8s.io/v1), and counts and skips all other kinds.
//
// The input is read completely or not at all. If a part is not a valid object,
// Read returns an error that names file, line, object and field. Invalid parts
// of a policy that the API server accepts, such as a CIDR with a typo, are not
// errors of Read: package policy reports them as errors of the policy.
//
// YAML has the same values as for kubectl, because both use version 2 of
// the YAML parser. Version 3 parses the text again to find the line of an error.
// A list in block style is split into its items by lines and decoded in
// parallel: the parser alone would use one processor.
package manifest
