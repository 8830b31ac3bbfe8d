package inventory

import (
	"slices"

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

// Policy is a policy and its origin.
type Policy struct {
	*policy.Policy
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

// Snapshot returns a new snapshot that holds every object of the set. The set's
// pods belong to the snapshot from then on; see policy.Snapshot.UpsertPod.
func (s *Set) Snapshot() *policy.Snapshot {
	var objects policy.Objects
	for i := range s.Namespaces {
		objects.Namespaces = append(objects.Namespaces, s.Namespaces[i].Namespace)
	}
	for i := range s.Nodes {
		objects.Nodes = append(objects.Nodes, s.Nodes[i].Node)
	}
	for i := range s.Pods {
		objects.Pods = append(objects.Pods, &s.Pods[i].Pod)
	}
	for i := range s.Policies {
		objects.Policies = append(objects.Policies, s.Policies[i].Policy)
	}
	snapshot := policy.NewSnapshot()
	snapshot.Load(objects)
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
