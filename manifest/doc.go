// Package manifest reads Kubernetes objects from files, directories and standard input, as
// kubectl does, so that policies can be checked without a cluster.
//
// The input can be a stream of YAML documents or a stream of JSON values. Each document or
// value is an object or a list, such as List, PodList or NetworkPolicyList.
// A list can contain other lists. The input can be hand-written or the output of `kubectl get
// -o yaml` or `kubectl get -o json`. Package manifest reads the kinds Pod, Namespace, Node,
// NetworkPolicy (networking.k8s.io/v1) and ClusterNetworkPolicy. It also reads the kinds that
// determine the backends of Services (Service, EndpointSlice and Endpoints) and the kinds of
// workloads with a pod template, such as Deployment. It skips and counts objects of all other kinds.
//
// Read either reads the whole input or returns an error. If a part of the input is not a
// valid object, the error names the file, the line, the object and the field. The API server
// accepts policies with some invalid parts, such as a CIDR with a typo. For such a part, Read
// does not return an error, because package policy records the error in the policy.
//
// YAML values have the same meaning as in kubectl, because both programs use version 2 of the
// YAML parser. For example, an unquoted yes is a boolean. After an error, version 3 of the
// parser parses the text again to find the line of the error. A long list in block style is
// split at the lines where its items begin. The items can then be decoded in parallel,
// whereas the parser uses only one processor.
package manifest
