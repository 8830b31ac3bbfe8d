// Package labcluster runs a Kubernetes cluster on one machine: a real
// kube-apiserver with etcd, and nodes and pods in network namespaces. An agent and
// a dataplane run on each node, with the same arguments, users, capabilities and
// mounts as in the operator's pods.
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
// The package has minimal replacements for three parts of a cluster:
//
//   - the scheduler, which binds pods to the nodes in turn;
//   - the kubelet, which creates the network namespace of a pod with addresses in the
//     ranges of its node, writes its CNI result like libcni, runs init containers, hooks and
//     commands as far as the test defines them (Cluster.SetCommand), starts a server on each
//     container port, and sets the status. It honours grace periods and deletions by force;
//   - the controller that deletes the objects in a deleted namespace.
//
// # Cleanup
//
// When this process ends, even if it is killed, the kernel removes all network
// namespaces; see package lab. Agents, dataplanes and the API server end, and all
// files are removed.
package labcluster
