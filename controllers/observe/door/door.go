// Package door contains the names that the operator and the agents share for requests to the
// agents: the API group, paths, rights and audiences.
package door

import "github.com/sluicenet/sluice/controllers/access"

const (
	// Group is the group of the API with which users read the status and the flow events of
	// nodes. The operator serves this API through the API server.
	Group = "observe.policy.sluice.dev"
	// Version is the version of this API.
	Version = "v1alpha1"
	// Flows is the resource of the flow events. Each node has one object, and the object has
	// the name of the node. A user who may watch the object may read the flow events of the
	// node.
	Flows = "nodeflows"
	// Statuses is the resource of the dataplane statuses. Each node has one object, and the
	// object has the name of the node. A user who may get the object may read the status of the
	// node's dataplane.
	Statuses = "nodestatuses"

	// Connections is the resource of the open connections. Each node has one object, and the object
	// has the name of the node. A user who may get the object may read the addresses and ports of
	// the connections that are open on the node.
	Connections = "nodeconnections"

	// FlowsPath is the path at which an agent streams the flow events of its node.
	FlowsPath = "/v1/flows"
	// StatusPath is the path at which an agent returns the status of its dataplane.
	StatusPath = "/v1/status"
	// ConnectionsPath is the path at which an agent returns the open connections of its node.
	ConnectionsPath = "/v1/connections"
	// DeniedParameter is a query parameter of a request for flow events. If it is true, the
	// response omits allowed flows.
	DeniedParameter = "denied"
	// HitsParameter is a query parameter of a request for the status of a dataplane. If it is true,
	// the status contains the counters of all rules.
	HitsParameter = "hits"
)

// FlowsRight returns the right to read the flow events of a node.
func FlowsRight(node string) access.Right {
	return access.Right{Verb: "watch", Group: Group, Resource: Flows, Name: node}
}

// StatusRight returns the right to read the status of a node's dataplane.
func StatusRight(node string) access.Right {
	return access.Right{Verb: "get", Group: Group, Resource: Statuses, Name: node}
}

// ConnectionsRight returns the right to read the open connections of a node.
func ConnectionsRight(node string) access.Right {
	return access.Right{Verb: "get", Group: Group, Resource: Connections, Name: node}
}

// Audience returns the audience of tokens for a node's agent. The audience contains the name of
// the node, so that the node cannot use the token to read from another node.
func Audience(node string) string { return node + ".agents." + Group }
