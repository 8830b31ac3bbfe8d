// Package reach computes which workloads can open connections to each other. Unlike a
// query.Matrix, which is about one port, a Map covers the ports on which each destination
// probably serves.
package reach

import (
	"github.com/sluicenet/sluice/query"
)

// These bytes are the verdicts in Map.Verdicts.
const (
	// NotEvaluated means that both workloads are the same one and have one pod, or that the pods
	// have no address family in common.
	NotEvaluated = '.'
	// Open means that the flow is allowed and that no policy can deny it.
	Open = 'o'
	// Allowed means that policies allow the flow on all ports of the destination.
	Allowed = 'a'
	// Partly means that policies allow the flow on some ports of the destination, or only
	// between the addresses of one family.
	Partly = 'p'
	// Denied means that policies deny the flow on all ports of the destination.
	Denied = 'd'
)

// Map contains the verdicts for the flows between all workloads.
type Map struct {
	query.TypeMeta
	Workloads []Workload `json:"workloads"`
	// Verdicts contains one string for each source. Byte j of string i is the verdict for flows
	// from workload i to workload j.
	Verdicts []string `json:"verdicts"`
}

// Workload is a controller with its pods, or a pod without a controller. A Map evaluates the
// flows of one pod of each workload.
type Workload struct {
	// Ref is a reference to the workload, such as shop/deployment/web or shop/web-0. It is a
	// valid end in an ExplainQuestion.
	Ref       string `json:"ref"`
	Namespace string `json:"namespace"`
	// Kind is the kind of the controller, or "" for a pod without a controller.
	Kind string `json:"kind,omitempty"`
	Name string `json:"name"`
	// Pods contains the names of the pods. The first one is the pod whose flows are evaluated.
	Pods []string `json:"pods"`
	// Ports contains the ports on which the workload probably serves. They are the ports of the
	// Services that select the pod, the named container ports, and the ports in the ingress rules
	// of the policies that select the pod.
	Ports []Port `json:"ports"`
	// Assumed is true if no port is known. Ports then contains only TCP port 80.
	Assumed bool `json:"assumed,omitempty"`
	// Egress and Ingress contain the policies that can deny flows from and to the workload.
	Egress  []string `json:"egress,omitempty"`
	Ingress []string `json:"ingress,omitempty"`
}

// Port is a port of a workload.
type Port struct {
	Protocol string `json:"protocol"`
	Number   uint16 `json:"port"`
	// Name is the name of the container port. It is empty if the port has no name.
	Name string `json:"name,omitempty"`
}

// Peers contains the verdicts for the flows of one workload on each port.
type Peers struct {
	query.TypeMeta
	Workload Workload `json:"workload"`
	// From contains the workloads as sources, and To contains them as destinations. Both lists
	// are in the order of the Map.
	From []Peer `json:"from"`
	To   []Peer `json:"to"`
}

// Peer is the other workload of a flow.
type Peer struct {
	Ref     string `json:"ref"`
	Verdict string `json:"verdict"`
	// Allowed and Denied contain the ports of the destination by verdict, such as "TCP 80". A port
	// is in both lists if only one address family is allowed.
	Allowed []string `json:"allowed,omitempty"`
	Denied  []string `json:"denied,omitempty"`
}
