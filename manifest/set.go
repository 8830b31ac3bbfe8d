package manifest

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicenet/sluice/policy"
)

// Set is what was read, each kind in the order of the input. Defaults are
// filled in; no two objects of a kind have the same namespace and name.
type Set struct {
	Pods       []Pod
	Namespaces []Namespace
	Nodes      []Node
	Policies   []Policy
	// Skipped counts the objects of kinds that decide nothing here, by kind in
	// ascending order.
	Skipped []Skipped
	// Faults are the addresses and ports of a live cluster's objects that are
	// none and were left out; files with such are refused instead.
	Faults Errors
}

// Pod is a pod and where it was read.
type Pod struct {
	policy.Pod
	Origin Origin
	// Workload is what the pod is one of: the name of its Deployment,
	// StatefulSet, DaemonSet or other controller, or its own name.
	Workload string
	// NoStatus reports that the object has neither a phase nor an address: it
	// was written by hand and never saw a cluster.
	NoStatus bool
}

// Namespace is a namespace and where it was read.
type Namespace struct {
	policy.Namespace
	Origin Origin
}

// Node is a node and where it was read.
type Node struct {
	policy.Node
	Origin Origin
}

// Policy is a NetworkPolicy and where it was read.
type Policy struct {
	*networkingv1.NetworkPolicy
	Origin Origin
}

// Skipped counts objects of one kind.
type Skipped struct {
	// Kind is the kind, with its apiVersion behind it where the kind alone
	// would read as one that is understood.
	Kind  string
	Count int
}

// Snapshot gives everything read to a new snapshot.
func (s *Set) Snapshot() *policy.Snapshot {
	snapshot := policy.NewSnapshot()
	for i := range s.Namespaces {
		snapshot.UpsertNamespace(s.Namespaces[i].Namespace)
	}
	for i := range s.Nodes {
		snapshot.UpsertNode(s.Nodes[i].Node)
	}
	for i := range s.Pods {
		snapshot.UpsertPod(&s.Pods[i].Pod)
	}
	for i := range s.Policies {
		snapshot.UpsertPolicy(s.Policies[i].NetworkPolicy)
	}
	return snapshot
}

// NamespacesWithoutObject lists the namespaces that hold pods and have no
// Namespace object in the set, in ascending order. No namespaceSelector matches
// their pods.
func (s *Set) NamespacesWithoutObject() []string {
	known := make(map[string]bool, len(s.Namespaces))
	for i := range s.Namespaces {
		known[s.Namespaces[i].Name] = true
	}
	missing := map[string]int{}
	for i := range s.Pods {
		if !known[s.Pods[i].Pod.Namespace] {
			missing[s.Pods[i].Pod.Namespace]++
		}
	}
	return sortedKeys(missing)
}
