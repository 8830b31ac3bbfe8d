// Package enforced computes the digests of the policies that a node must enforce. It computes them
// from the same snapshot as the tree of the node.
package enforced

import (
	"maps"
	"slices"

	"github.com/sluicenet/sluice/controllers/digest"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// Policies computes, for one node, the digests of all policies that select a pod with an
// address. After a change, it recomputes only the digests of namespaces in which a policy or a
// pod of the node changed, and the digests of cluster-scoped policies. It must not be used
// concurrently with the snapshot.
type Policies struct {
	snapshot *policy.Snapshot
	node     string
	changes  *policy.Changes
	// pods contains the pods of the node that have an address, by namespace.
	pods map[string]byLabels
	// byNamespace contains the digests of each namespace that has at least one digest. The digests
	// of cluster-scoped policies have the key "".
	byNamespace map[string][]digest.Digest
	// joined contains all digests. It is nil before the first computation.
	joined []byte
}

// New returns a Policies for a node. The snapshot records its changes for this Policies as long as
// the snapshot exists.
func New(s *policy.Snapshot, node string) *Policies {
	return &Policies{
		snapshot: s, node: node, changes: s.Track(node),
		pods: map[string]byLabels{}, byNamespace: map[string][]digest.Digest{},
	}
}

// Digests returns the digests for the current state of the snapshot, in the format of
// digest.Join. It ignores pods whose Pod object is gone. The caller must not modify the
// result.
func (p *Policies) Digests() []byte {
	changed := p.changed()
	p.changes.Clear()
	if len(changed) == 0 {
		return p.joined
	}
	affected := p.updatePods(changed)
	for name := range changed {
		p.set(name, p.of(name))
	}
	if affected {
		p.set("", p.ofCluster())
	}
	p.joined = digest.Join(slices.Concat(slices.Collect(maps.Values(p.byNamespace))...))
	return p.joined
}

func (p *Policies) set(namespace string, digests []digest.Digest) {
	if digests == nil {
		delete(p.byNamespace, namespace)
	} else {
		p.byNamespace[namespace] = digests
	}
}

// changed returns the namespaces whose digests may have changed since the last call. The first
// call returns all namespaces with a pod on the node.
func (p *Policies) changed() map[string]bool {
	out := map[string]bool{}
	for ns := range p.changes.Namespaces {
		out[ns.Name()] = true
	}
	for _, pod := range p.changes.Pods {
		out[pod.Namespace] = true
	}
	return out
}

// byLabels contains pods, grouped by their labels.
type byLabels map[label.Set][]*policy.Pod

// updatePods updates the pods in the given namespaces. It reports whether the node had or has a pod
// in one of them.
func (p *Policies) updatePods(namespaces map[string]bool) (affected bool) {
	for name := range namespaces {
		affected = affected || p.pods[name] != nil
		delete(p.pods, name)
	}
	for pod := range p.snapshot.PodObjects(p.node) {
		if !namespaces[pod.Namespace] || pod.Announced || len(pod.Addresses) == 0 {
			continue
		}
		affected = true
		if p.pods[pod.Namespace] == nil {
			p.pods[pod.Namespace] = byLabels{}
		}
		p.pods[pod.Namespace][pod.Labels] = append(p.pods[pod.Namespace][pod.Labels], pod)
	}
	return affected
}

// The method `of` returns the digests of the policies of a namespace that select at least one pod
// of the node.
func (p *Policies) of(namespace string) (out []digest.Digest) {
	ns := p.snapshot.TrackedNamespace(namespace)
	if ns == nil || len(p.pods[namespace]) == 0 {
		return nil
	}
	for _, np := range ns.Policies() {
		if selected := p.pods[namespace].selectedBy(np, ns.Object()); len(selected) > 0 {
			out = append(out, digest.Of(np, selected))
		}
	}
	return out
}

// ofCluster returns the digests of the cluster-scoped policies that select at least one pod of the
// node.
func (p *Policies) ofCluster() (out []digest.Digest) {
	for _, cp := range p.snapshot.ClusterPolicies() {
		var selected []*policy.Pod
		for namespace, pods := range p.pods {
			if ns := p.snapshot.TrackedNamespace(namespace); ns != nil && cp.Subject.MatchesNamespace(namespace, ns.Object()) {
				selected = append(selected, pods.selectedBy(cp, ns.Object())...)
			}
		}
		if len(selected) > 0 {
			out = append(out, digest.Of(cp, selected))
		}
	}
	return out
}

// selectedBy returns the pods that a policy selects. The `namespace` parameter is the Namespace
// object of the pods, or nil.
func (b byLabels) selectedBy(p *policy.Policy, namespace *policy.Namespace) (out []*policy.Pod) {
	for labels, group := range b {
		if !p.Subject.Pods.Matches(labels) {
			continue
		}
		for _, pod := range group {
			if p.Selects(pod, namespace) {
				out = append(out, pod)
			}
		}
	}
	return out
}
