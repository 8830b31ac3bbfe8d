package cluster

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/policy"
)

// ClusterPolicies returns the names of all cluster-scoped policies in the index.
func (x *Index) ClusterPolicies() (out []types.NamespacedName) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for name := range x.clusterPolicies {
		out = append(out, types.NamespacedName{Name: name})
	}
	return out
}

// policiesIn returns the map that contains the policies with the given namespace, or nil. The
// namespace of cluster-scoped policies is "".
func (x *Index) policiesIn(namespace string) map[string]*entry {
	if namespace == "" {
		return x.clusterPolicies
	}
	if ns := x.namespaces[namespace]; ns != nil {
		return ns.policies
	}
	return nil
}

// selectedBy returns the number of pods that a policy selects. It also returns the selected
// pods that are reachable, by node.
func (x *Index) selectedBy(p *policy.Policy) (pods int, byNode map[string][]*policy.Pod) {
	byNode = map[string][]*policy.Pod{}
	if p.Scope != "" {
		return x.namespaces[p.Scope].selected(p, byNode), byNode
	}
	for name, ns := range x.namespaces {
		if p.Subject.MatchesNamespace(name, ns.object) {
			pods += ns.selected(p, byNode)
		}
	}
	return pods, byNode
}

// mayApply returns the policies that may select pods of a namespace.
func (x *Index) mayApply(name string) (out []*entry) {
	ns := x.namespaces[name]
	if ns == nil {
		return nil
	}
	out = slices.AppendSeq(make([]*entry, 0, len(ns.policies)+len(x.clusterPolicies)), maps.Values(ns.policies))
	for _, p := range x.clusterPolicies {
		if p.Subject.MatchesNamespace(name, ns.object) {
			out = append(out, p)
		}
	}
	return out
}

// setObject replaces the Namespace object of a namespace. It returns the cluster-scoped
// policies that this change affects: the policies that could select the namespace's pods only
// before the change, and the policies that can select them only now.
func (x *Index) setObject(name string, ns *namespace, object *policy.Namespace) (changed []types.NamespacedName) {
	before := ns.object
	ns.object = object
	for _, p := range x.clusterPolicies {
		if p.Subject.MatchesNamespace(name, before) != p.Subject.MatchesNamespace(name, object) {
			changed = append(changed, nameOf(p.Policy))
		}
	}
	return changed
}
