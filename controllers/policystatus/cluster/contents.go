package cluster

import (
	"maps"
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
)

// Contents returns the objects of a namespace for lint. If the namespace contains no policy,
// the result is empty, because lint finds nothing.
func (x *Index) Contents(namespace string) (out lint.Namespace) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if ns := x.namespaces[namespace]; ns != nil && len(ns.policies) > 0 {
		return ns.contents()
	}
	return out
}

// All returns the objects of the cluster for lint. If the index contains no cluster-scoped policy,
// the result is empty, because lint finds nothing.
func (x *Index) All() (out lint.Cluster) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.clusterPolicies) == 0 {
		return out
	}
	out.Policies = policiesOf(x.clusterPolicies)
	out.Namespaces = make([]lint.Namespace, 0, len(x.namespaces))
	for _, ns := range x.namespaces {
		out.Namespaces = append(out.Namespaces, ns.contents())
	}
	return out
}

func (ns *namespace) contents() lint.Namespace {
	pods := slices.AppendSeq(make([]*policy.Pod, 0, len(ns.pods)), maps.Values(ns.pods))
	return lint.Namespace{Object: ns.object, Pods: pods, Policies: policiesOf(ns.policies)}
}

func policiesOf(entries map[string]*entry) []*policy.Policy {
	out := make([]*policy.Policy, 0, len(entries))
	for _, e := range entries {
		out = append(out, e.Policy)
	}
	return out
}
