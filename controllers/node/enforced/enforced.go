// Package enforced computes the digests of the policies that a node must enforce, from the
// snapshot from which the tree of the node is compiled.
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
// pod of the node changed. It must not be used concurrently with the snapshot.
type Policies struct {
	snapshot *policy.Snapshot
	node     string
	changes  *policy.Changes
	// byNamespace contains the digests of each namespace that has any.
	byNamespace map[string][]digest.Digest
	// joined contains all digests. It is nil before the first computation.
	joined []byte
}

// New returns a Policies for a node. It records changes of the snapshot until the snapshot is no
// longer used.
func New(s *policy.Snapshot, node string) *Policies {
	return &Policies{snapshot: s, node: node, changes: s.Track(node), byNamespace: map[string][]digest.Digest{}}
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
	pods := p.pods(changed)
	for name := range changed {
		if digests := p.of(name, pods[name]); digests == nil {
			delete(p.byNamespace, name)
		} else {
			p.byNamespace[name] = digests
		}
	}
	p.joined = digest.Join(slices.Concat(slices.Collect(maps.Values(p.byNamespace))...))
	return p.joined
}

// changed returns the namespaces whose digests may have changed since the last call. The first
// call returns all namespaces with a pod on the node.
func (p *Policies) changed() map[string]bool {
	out := map[string]bool{}
	for _, ns := range p.changes.Namespaces {
		out[ns.Name()] = true
	}
	for _, pod := range p.changes.Pods {
		out[pod.Namespace] = true
	}
	return out
}

// byLabels contains pods, grouped by their labels.
type byLabels map[label.Set][]*policy.Pod

// pods returns the pods of the node in the given namespaces, except pods without an
// address.
func (p *Policies) pods(namespaces map[string]bool) map[string]byLabels {
	out := map[string]byLabels{}
	for pod := range p.snapshot.PodObjects(p.node) {
		if !namespaces[pod.Namespace] || pod.Announced || len(pod.Addresses) == 0 {
			continue
		}
		if out[pod.Namespace] == nil {
			out[pod.Namespace] = byLabels{}
		}
		out[pod.Namespace][pod.Labels] = append(out[pod.Namespace][pod.Labels], pod)
	}
	return out
}

// The method `of` returns the digests of the policies of a namespace that select at least one of
// the pods.
func (p *Policies) of(namespace string, pods byLabels) (out []digest.Digest) {
	ns := p.snapshot.TrackedNamespace(namespace)
	if ns == nil || len(pods) == 0 {
		return nil
	}
	for _, np := range ns.Policies() {
		var selected []*policy.Pod
		for labels, group := range pods {
			if !np.Subject.Pods.Matches(labels) {
				continue
			}
			for _, pod := range group {
				if np.Selects(pod, nil) {
					selected = append(selected, pod)
				}
			}
		}
		if len(selected) > 0 {
			out = append(out, digest.Of(np, selected))
		}
	}
	return out
}
