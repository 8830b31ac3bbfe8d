// Package labcluster runs a Kubernetes cluster on one machine. The cluster has a real
// kube-apiserver with etcd, and its nodes and pods are network namespaces. An agent and a
// dataplane run on each node, with the same arguments, users, capabilities and mounts as in the
// pods that the operator creates.
//
//	etcd -- kube-apiserver
//	            |  one link for each node, which can be cut
//	   +--------+---------+ ...
//	   | agent            |            user 65532, no capabilities, with a token
//	   |   | state directory
//	   | dataplane        |            in the network namespace of the node
//	   |   nftables       |
//	   | pods             |            each in its own network namespace
//	   +------------------+ ...
//
// The package contains minimal replacements for three parts of a Kubernetes cluster:
//
//   - the scheduler, which binds pods to the nodes in turn;
//   - the kubelet. It creates the network namespace of each pod, with addresses in the pod
//     ranges of the node, and writes the CNI result of the pod like libcni. For the command
//     of an init container, hook or container, it calls the function that the test has set
//     with Cluster.SetCommand. It ignores all other commands. It starts a server on each
//     container port, or on the ports that Options.Ports returns, and sets the status of the
//     pod. It observes grace periods and deletions by force;
//   - the controller that deletes the objects in a deleted namespace.
//
// # Cleanup
//
// When this process ends, even if it is killed, the agents, the dataplanes and the API server
// end, and all files of the cluster are removed. The kernel removes all network namespaces, as
// described in package lab.
package labcluster
