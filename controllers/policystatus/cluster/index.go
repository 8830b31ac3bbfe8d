package cluster

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// Index contains the policies, pods and namespaces of a cluster, and a report of each node. It is
// safe for concurrent use. The caller must not change an object after passing it to the index.
type Index struct {
	mu         sync.RWMutex
	namespaces map[string]*namespace
	nodes      map[string]*node
	// clusterPolicies contains the cluster-scoped policies.
	clusterPolicies map[string]*entry
}

// namespace contains the objects of one namespace. It exists while it contains at least one
// object.
type namespace struct {
	object   *policy.Namespace
	policies map[string]*entry
	pods     map[string]*policy.Pod
	// byLabels groups the pods by their labels, because a selector matches either all pods of
	// a group or none of them.
	byLabels map[label.Set][]*policy.Pod
}

// entry is a policy in the index.
type entry struct {
	*policy.Policy
	// lagging is the number of nodes that must enforce the policy but do not enforce it yet.
	// Observe sets this number, and later reports update it. The number only determines how
	// soon the policy is observed again.
	lagging int
}

// node contains the pods that are bound to a node and have an address, and the report of the
// node. It exists while it has a pod or a report.
type node struct {
	pods     []*policy.Pod
	reported bool
	report   Report
}

// New returns an empty index.
func New() *Index {
	return &Index{namespaces: map[string]*namespace{}, nodes: map[string]*node{}, clusterPolicies: map[string]*entry{}}
}

// SetPolicy adds or replaces a policy.
func (x *Index) SetPolicy(p *policy.Policy) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p.Scope == "" {
		x.clusterPolicies[p.Name] = &entry{Policy: p}
		return
	}
	x.namespace(p.Scope).policies[p.Name] = &entry{Policy: p}
}

// RemovePolicy removes a policy.
func (x *Index) RemovePolicy(name types.NamespacedName) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.policiesIn(name.Namespace), name.Name)
	if ns := x.namespaces[name.Namespace]; ns != nil {
		x.settle(name.Namespace, ns)
	}
}

// SetNamespace adds or replaces a Namespace object. It returns the cluster-scoped policies whose
// observation can change.
func (x *Index) SetNamespace(object policy.Namespace) []types.NamespacedName {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.setObject(object.Name, x.namespace(object.Name), &object)
}

// RemoveNamespace removes a Namespace object. The pods and policies of the namespace remain. It
// returns the cluster-scoped policies whose observation can change.
func (x *Index) RemoveNamespace(name string) []types.NamespacedName {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[name]
	if ns == nil {
		return nil
	}
	changed := x.setObject(name, ns, nil)
	x.settle(name, ns)
	return changed
}

// SetPod adds or replaces a pod. It returns the previous state of the pod, or nil if the index
// did not contain the pod.
func (x *Index) SetPod(pod *policy.Pod) (before *policy.Pod) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespace(pod.Namespace)
	before = ns.pods[pod.Name]
	x.detach(ns, before)
	ns.pods[pod.Name] = pod
	ns.byLabels[pod.Labels] = append(ns.byLabels[pod.Labels], pod)
	if reachable(pod) {
		n := x.node(pod.Node)
		n.pods = append(n.pods, pod)
	}
	return before
}

// RemovePod removes a pod. It returns the last state of the pod, or nil if the index did not
// contain the pod.
func (x *Index) RemovePod(name types.NamespacedName) (before *policy.Pod) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ns := x.namespaces[name.Namespace]
	if ns == nil {
		return nil
	}
	before = ns.pods[name.Name]
	x.detach(ns, before)
	delete(ns.pods, name.Name)
	x.settle(name.Namespace, ns)
	return before
}

// detach removes a pod from the groups of its namespace and from its node. It does nothing if
// the pod is nil.
func (x *Index) detach(ns *namespace, pod *policy.Pod) {
	if pod == nil {
		return
	}
	if left := without(ns.byLabels[pod.Labels], pod); len(left) > 0 {
		ns.byLabels[pod.Labels] = left
	} else {
		delete(ns.byLabels, pod.Labels)
	}
	if reachable(pod) {
		n := x.node(pod.Node)
		n.pods = without(n.pods, pod)
		x.settleNode(pod.Node, n)
	}
}

// without removes a pod from a list. It does not keep the order of the list.
func without(pods []*policy.Pod, pod *policy.Pod) []*policy.Pod {
	i, last := slices.Index(pods, pod), len(pods)-1
	pods[i], pods[last] = pods[last], nil
	return pods[:last]
}

// reachable reports whether the node of a pod must enforce the policies that select the pod.
// This is the case if the pod is bound to a node, is in the pod network, has not finished and
// has an address.
func reachable(pod *policy.Pod) bool {
	return pod.Node != "" && len(pod.Addresses) > 0 && !pod.HostNetwork && !pod.Finished
}

func (x *Index) namespace(name string) *namespace {
	ns := x.namespaces[name]
	if ns == nil {
		ns = &namespace{policies: map[string]*entry{}, pods: map[string]*policy.Pod{}, byLabels: map[label.Set][]*policy.Pod{}}
		x.namespaces[name] = ns
	}
	return ns
}

func (x *Index) settle(name string, ns *namespace) {
	if ns.object == nil && len(ns.policies) == 0 && len(ns.pods) == 0 {
		delete(x.namespaces, name)
	}
}

func (x *Index) node(name string) *node {
	n := x.nodes[name]
	if n == nil {
		n = &node{report: noReport()}
		x.nodes[name] = n
	}
	return n
}

func (x *Index) settleNode(name string, n *node) {
	if len(n.pods) == 0 && !n.reported {
		delete(x.nodes, name)
	}
}

func nameOf(p *policy.Policy) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Scope, Name: p.Name}
}
