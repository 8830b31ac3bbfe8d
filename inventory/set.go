package inventory

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicenet/sluice/policy"
)

// Set is a set of objects, each kind in the order of the input. Defaults are
// filled in. No two objects of a kind have the same namespace and name.
type Set struct {
	Pods       []Pod
	Namespaces []Namespace
	Nodes      []Node
	Policies   []Policy
	// Skipped counts the objects of other kinds, by kind in ascending order.
	Skipped []Skipped
	// SkippedFiles are the files of Helm and Kustomize in a directory that
	// contain no object, such as Chart.yaml.
	SkippedFiles []string
	// Duplicates are the objects that the input contains again, with the same
	// content. The set has each of them once.
	Duplicates []Duplicate
	// Invalid lists the addresses and ports of a live cluster's objects that
	// cannot be parsed and were left out. In files they are errors.
	Invalid Errors
}

// Pod is a pod and its origin.
type Pod struct {
	policy.Pod
	Origin Origin
	// Workload is the name of the Deployment, StatefulSet, DaemonSet or other
	// controller of the pod, or the pod's own name if it has none.
	Workload string
	// NoStatus reports whether the object has neither a phase nor an address,
	// as in a manifest that was written by hand.
	NoStatus bool
}

// Namespace is a namespace and its origin.
type Namespace struct {
	policy.Namespace
	Origin Origin
}

// Node is a node and its origin.
type Node struct {
	policy.Node
	Origin Origin
}

// Policy is a NetworkPolicy and its origin.
type Policy struct {
	*networkingv1.NetworkPolicy
	Origin Origin
}

// Skipped counts objects of one kind.
type Skipped struct {
	// Kind is the kind. The apiVersion follows in parentheses if the kind alone
	// has the name of one that a Set holds.
	Kind  string
	Count int
}

// Duplicate is an identical copy of an object in the set.
type Duplicate struct {
	// Object is "Kind namespace/name".
	Object string
	// Origin is the place of the copy, First that of the object in the set.
	Origin, First Origin
}

// Snapshot returns a new snapshot that holds every object of the set.
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
		np, _ := policy.ReadNetworkPolicy(s.Policies[i].NetworkPolicy)
		snapshot.UpsertPolicy(np)
	}
	return snapshot
}

// NamespacesWithoutObject lists the namespaces that contain pods but have no
// Namespace object in the set, in ascending order. No namespaceSelector matches
// the pods in them.
func (s *Set) NamespacesWithoutObject() []string {
	defined := make(map[string]bool, len(s.Namespaces))
	for i := range s.Namespaces {
		defined[s.Namespaces[i].Name] = true
	}
	var missing []string
	for i := range s.Pods {
		if name := s.Pods[i].Pod.Namespace; !defined[name] {
			defined[name] = true
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return missing
}
