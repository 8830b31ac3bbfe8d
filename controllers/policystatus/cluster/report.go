package cluster

import (
	"bytes"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/controllers/digest"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// Report contains the parts of a NodeEnforcer that affect PolicyStatuses.
type Report struct {
	// Problem describes why the node is not known to enforce policies. It is "" if the node
	// enforces policies.
	Problem string
	// Enforced contains the digests of the policies that the node enforces, as returned by
	// digest.Join.
	Enforced []byte
}

// covers reports whether the node enforces the policy version with the given digest.
func (r *Report) covers(d digest.Digest) bool {
	return r.Problem == "" && digest.Contains(r.Enforced, d)
}

// Transitions lists policies whose observation changed because of a report.
type Transitions struct {
	// Complete contains the policies that are now enforced by every node that must enforce
	// them.
	Complete []types.NamespacedName
	// Closer contains the policies that one more node now enforces, but that some other nodes
	// do not enforce yet. Further contains all remaining policies whose observation changed.
	Closer, Further []types.NamespacedName
}

// SetReport records the newest report of a node. It returns the policies whose observation
// changed.
func (x *Index) SetReport(name string, report Report) Transitions {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.node(name)
	n.reported = true
	return x.replace(n, report)
}

// RemoveReport records that a node has no NodeEnforcer. It returns the policies whose
// observation changed.
func (x *Index) RemoveReport(name string) Transitions {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.node(name)
	n.reported = false
	out := x.replace(n, noReport())
	x.settleNode(name, n)
	return out
}

func (x *Index) replace(n *node, report Report) (out Transitions) {
	old := n.report
	n.report = report
	if old.Problem == report.Problem && bytes.Equal(old.Enforced, report.Enforced) {
		return out
	}
	for p, pods := range x.needed(n) {
		d := digest.Of(p.Policy, pods)
		was, is := old.covers(d), report.covers(d)
		switch {
		case is && !was:
			p.lagging--
			if p.lagging <= 0 {
				out.Complete = append(out.Complete, nameOf(p.Policy))
			} else {
				out.Closer = append(out.Closer, nameOf(p.Policy))
			}
		case was && !is:
			p.lagging++
			out.Further = append(out.Further, nameOf(p.Policy))
		case !is && old.Problem != report.Problem:
			out.Further = append(out.Further, nameOf(p.Policy))
		}
	}
	return out
}

// needed returns the policies that a node must enforce. For each policy, it also returns the
// node's pods that the policy selects.
func (x *Index) needed(n *node) map[*entry][]*policy.Pod {
	type group struct {
		namespace string
		labels    label.Set
	}
	groups := map[group][]*policy.Pod{}
	for _, pod := range n.pods {
		key := group{pod.Namespace, pod.Labels}
		groups[key] = append(groups[key], pod)
	}
	out := map[*entry][]*policy.Pod{}
	for _, pods := range groups {
		for _, p := range x.mayApply(pods[0].Namespace) {
			if p.Selects(pods[0], x.namespaces[pods[0].Namespace].object) {
				out[p] = append(out[p], pods...)
			}
		}
	}
	return out
}
