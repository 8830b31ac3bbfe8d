package inventory

import (
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/service"
)

// Set is a set of objects. The objects of each kind are in the order of the input,
// and defaults are filled in. Two objects of one kind never have the same namespace
// and name.
type Set struct {
	Pods       []Pod
	Namespaces []Namespace
	Nodes      []Node
	Policies   []Policy
	// Services contains the Services. Slices contains the EndpointSlices and Endpoints, which
	// determine the backends of the Services. None of these objects affects a verdict.
	Services []*service.Service
	Slices   []*service.Slice
	// Workloads contains the objects that create pods from a pod template.
	Workloads []Workload
	// NotListed contains the resources that the user has no right to list in the cluster. It
	// contains only resources that affect no verdict.
	NotListed []string
	// Skipped contains, for each kind that the set does not support, the number of skipped
	// objects. It is sorted by kind.
	Skipped []Skipped
	// NotEvaluated contains the number of objects of each kind for which NotEvaluatedName returns
	// a name. It is sorted by kind. A count of 0 means that the user has no right to list the
	// kind, so the number is unknown.
	NotEvaluated []Skipped
	// SkippedFiles lists files of Helm and Kustomize, such as Chart.yaml, that were found in
	// a directory but contain no Kubernetes object.
	SkippedFiles []string
	// Duplicates lists repeated objects. If the input contains identical copies of an object,
	// the set contains the first copy, and Duplicates lists the other copies. Copies of Services,
	// EndpointSlices and workloads can differ from the first copy.
	Duplicates []Duplicate
	// Invalid contains an error for each invalid address or port of an object that was read from a
	// cluster. The set omits these addresses and ports. If a manifest contains such a value,
	// manifest.Read returns an error instead of a set.
	Invalid Errors
}

// Pod is a pod and its origin.
type Pod struct {
	policy.Pod
	Origin Origin
	// Workload is the name of the pod's controller, such as a Deployment, StatefulSet or
	// DaemonSet. If the pod has no controller, Workload is the pod's own name.
	Workload string
	// Controller is the kind of the pod's controller, or "" if the pod has no controller.
	Controller string
	// Template is true if the pod does not exist, but stands for the pods that its controller
	// would create from a pod template. See Set.AddTemplates.
	Template bool
	// Assigned is true if AssignAddresses assigned the addresses of the pod.
	Assigned bool
	// NoStatus is true if the Pod object has neither a phase nor an address. This is usual for
	// hand-written manifests.
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
	// Blanks contains the paths of lists and ports that the manifest contains without a value, such as
	// spec.ingress[0].from. See read.Blanks.
	Blanks []string
}

// Kind returns the kind of the policy object.
func (p *Policy) Kind() string {
	if p.Scope == "" {
		return "ClusterNetworkPolicy"
	}
	return "NetworkPolicy"
}

// Skipped is the number of skipped objects of one kind.
type Skipped struct {
	// Kind is the kind of the skipped objects. If the set supports a kind with the same name in
	// another API group, Kind also contains the apiVersion in parentheses. For example, Calico has
	// its own NetworkPolicy kind.
	Kind  string
	Count int
}

// Duplicate is a copy of an object that the set already contains.
type Duplicate struct {
	// Object is "Kind namespace/name".
	Object string
	// Origin is the origin of the copy. First is the origin of the object in the set.
	Origin, First Origin
	// Differs is true if the content of the copy differs from the content of the first object.
	Differs bool
}

// Snapshot returns a new snapshot with all objects of the set. The snapshot takes ownership
// of the set's pods, so the caller must not modify these pods after the call. See
// policy.Snapshot.UpsertPod.
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

// NamespacesWithoutObject lists, in ascending order, the namespaces that contain pods but
// have no Namespace object in the set. The labels of these namespaces are unknown, so no
// namespaceSelector matches their pods.
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
