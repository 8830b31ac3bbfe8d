package report

import "net/netip"

// Sandboxes lists the pod sandboxes of a node. The list is read from the CNI results on the
// node.
type Sandboxes struct {
	// Available reports whether the CNI results of the node can be read. If it is false,
	// the list is empty and Reason explains why.
	Available bool   `json:"available"`
	Reason    string `json:"reason,omitempty"`
	// Skipped is the number of CNI results that cannot be used. SkippedReason explains why one
	// of the skipped CNI results cannot be used.
	Skipped       int    `json:"skipped,omitempty"`
	SkippedReason string `json:"skippedReason,omitempty"`
	// Routed contains addresses of pods in the tree. It contains an address if the node has a
	// route to the address through an interface that leads to a single pod. It is nil if
	// Available is set, or if the routes have not been read yet.
	Routed []netip.Addr `json:"routed"`
	// Sandboxes is sorted by namespace, name, container ID and interface. Two sandboxes of the
	// same network never have the same address.
	Sandboxes []Sandbox `json:"sandboxes"`
}

// Sandbox is a pod sandbox with one network attachment. A pod with several networks has one
// Sandbox for each network.
type Sandbox struct {
	// Namespace, Name and UID identify the pod. For a static pod, UID is the value of the
	// annotation kubernetes.io/config.hash of its mirror pod, and not the UID of the mirror pod
	// in the API server.
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	UID         string `json:"uid"`
	ContainerID string `json:"containerID"`
	// Network is the name of the CNI network. Interface is the pod's interface in its own
	// network namespace.
	Network   string `json:"network"`
	Interface string `json:"interface"`
	// HostInterface is the node's end of the link to the pod. It is empty if the CNI
	// plugin does not report it.
	HostInterface string       `json:"hostInterface,omitempty"`
	Addresses     []netip.Addr `json:"addresses"`
}
