package cluster

import (
	"maps"
	"slices"

	"github.com/sluicenet/sluice/policy/lint"
)

// Contents returns the objects of a namespace for lint. If the namespace contains no policy,
// the result is empty, because lint finds nothing.
func (x *Index) Contents(namespace string) (out lint.Namespace) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	ns := x.namespaces[namespace]
	if ns == nil || len(ns.policies) == 0 {
		return out
	}
	out.Object, out.Pods = ns.object, slices.Collect(maps.Values(ns.pods))
	for _, p := range ns.policies {
		out.Policies = append(out.Policies, p.Policy)
	}
	return out
}
