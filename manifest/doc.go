// Package manifest reads Kubernetes objects from files, directories and standard
// input, as kubectl does, so that policies can be checked without a cluster.
//
// The input can be a stream of YAML documents or a stream of JSON values. Each
// document or value is an object or a list: List, PodList, NamespaceList, NodeList
// or NetworkPolicyList. A list can contain further lists. The input can be
// hand-written or the output of `kubectl get -o yaml` or `kubectl get -o json`.
// Package manifest reads the kinds Pod, Namespace, Node and NetworkPolicy
// (networking.k8s.io/v1). It skips objects of all other kinds and counts them.
//
// Read either reads the whole input or returns an error. If a part of the input is
// not a valid object, the error names the file, the line, the object and the field.
// The API server accepts policies with some invalid parts, such as a CIDR with a
// typo. Read does not return an error for such a part, because package policy
// records an error in the policy.
//
// YAML values have the same meaning as for kubectl, because both use version 2 of
// the YAML parser. For example, an unquoted yes is a boolean. If an error occurs,
// version 3 parses the text again to find the line of the error. A long list in
// block style is split at the lines where its items begin, because the parser uses
// only one processor and the items can be decoded in parallel.
package manifest
