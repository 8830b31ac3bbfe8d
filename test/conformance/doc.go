// Package conformance runs the conformance tests of the Network Policy API
// (sigs.k8s.io/network-policy-api) on a cluster of test/labcluster with two nodes.
//
//	conformance tests --- objects ---> kube-apiserver <--- agents on node-1 and node-2
//	        |                               |
//	        | exec                          | StatefulSets, Pods
//	        v                               v
//	   Executor ------ connects in -----> pods, which are network namespaces
//
// The tests create StatefulSets whose containers run the program agnhost, and open connections by
// executing `agnhost connect` in a pod. test/labcluster supports neither StatefulSets nor the
// execution of commands, so this package contains two replacements:
//
//   - StartStatefulSets replaces the StatefulSet controller.
//   - Executor replaces the exec subresource of pods. It runs Connect of test/agnhost in the
//     network namespace of the pod.
//
// Everything else is the same as on a real cluster: the API server, the agents and the
// dataplanes, the manifests and the tests.
package conformance
