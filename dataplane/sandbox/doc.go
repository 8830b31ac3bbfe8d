// Package sandbox reads the results that CNI plugins return for the pods of a node.
//
// A container runtime uses the library libcni to add a pod to a network. After the plugins
// have finished and before the first container of the pod starts, libcni writes the result
// of the plugins to a file:
//
//	/var/lib/cni/results/NETWORK-CONTAINER-INTERFACE
//
// The file contains the pod's namespace, name, UID and addresses. So a program on the node
// can read the addresses of a pod before the pod sends its first packet, and long before
// the API server stores these addresses. libcni removes the file after it has removed the pod from
// the network.
//
// Another program writes the files, so the package does not trust them. It reads only
// regular files that belong to root or to the user of this process, and that no other user
// can write to. It limits their number and size, and validates every value that it returns.
package sandbox
