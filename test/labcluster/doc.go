// Package labcluster is a Kubernetes cluster out of what a machine has: a real
// kube-apiserver and etcd, nodes and pods out of network namespaces, and on each
// node the agent and the dataplane as they ship: the containers of the operator's
// pod, with its arguments, users, capabilities and mounts.
//
//	etcd -- kube-apiserver
//	            |  one link for each node, which can be cut
//	   +--------+---------+ ...
//	   | agent            |            user 65532, no capabilities, with a token
//	   |   | state directory
//	   | dataplane        |            in the node's network
//	   |   nftables       |
//	   | pods             |            a network namespace each
//	   +------------------+ ...
//
// Three parts of a cluster are stood in for, each as small as it can be: the
// scheduler (pods without a node are bound in turn), the kubelet (a pod gets a
// network namespace, addresses of its node's ranges, a server on each of its
// container ports, and its status) and the controller that empties a namespace.
//
// # Nothing is left behind
//
// What package lab says holds here, too. Agents and dataplanes die with this
// process, and the API server and all files go with it.
package labcluster
