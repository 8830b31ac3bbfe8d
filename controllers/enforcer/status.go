package enforcer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/message"
)

// observation contains the state of the cluster from which the status of an Enforcer is
// computed.
type observation struct {
	// daemonSet is nil until the DaemonSet has been created.
	daemonSet *appsv1.DaemonSet
	// pods lists the pods of daemonSet. A pod status shows why a dataplane does not run.
	pods          []corev1.Pod
	nodes         []corev1.Node
	nodeEnforcers []v1alpha1.NodeEnforcer
	// freeing lists the nodes from which rules are being removed. It is nil if there are no
	// such nodes.
	freeing *pending
	// tainted lists the nodes that keep the startup taint. It is nil if there are none.
	tainted *pending
	// conflicts contains a line for each object that another client changes repeatedly.
	conflicts []string
}

// enforcerStatus returns the status of an Enforcer. If the status of a condition does not
// change, the condition keeps its last transition time.
func enforcerStatus(enforcer *v1alpha1.Enforcer, o observation, now metav1.Time) v1alpha1.EnforcerStatus {
	r := newRollup(enforcer, o, now)
	out := v1alpha1.EnforcerStatus{
		ObservedGeneration: enforcer.Generation,
		Nodes:              r.counts,
		Conditions:         slices.Clone(enforcer.Status.Conditions),
	}
	for _, condition := range []metav1.Condition{r.available(), r.progressing(), r.degraded()} {
		condition.ObservedGeneration = enforcer.Generation
		condition.LastTransitionTime = now
		meta.SetStatusCondition(&out.Conditions, condition)
	}
	return out
}

// startTimeout is the time that a new or replaced pod may take to start. After this time,
// the node counts as degraded.
const startTimeout = 2 * time.Minute

// rollup summarizes the nodes. Its lists are sorted. Each line in a list starts with the name
// of a node.
type rollup struct {
	counts v1alpha1.NodeCounts
	// replacing reports whether the DaemonSet has pods that are not ready.
	replacing bool
	// missing lists the nodes that do not enforce policies. faulty lists the nodes that have a
	// fault.
	missing, faulty []string
	// freeing lists the nodes from which rules are being removed. tainted lists the nodes
	// that keep the startup taint.
	freeing, tainted *pending
	// conflicts contains a line for each object that another client changes repeatedly.
	conflicts []string
}

func newRollup(enforcer *v1alpha1.Enforcer, o observation, now metav1.Time) rollup {
	reports := reportsByNode(o)
	failed, starting := containerFailures(o.pods), startingDataplanes(o.pods)
	r := rollup{replacing: o.daemonSet == nil || o.daemonSet.Status.NumberUnavailable > 0, freeing: o.freeing, tainted: o.tainted}
	nodes := desiredNodes(&enforcer.Spec, o.nodes)
	r.counts.Desired = int32(len(nodes))
	if d := o.daemonSet; d != nil && d.Status.ObservedGeneration == d.Generation {
		r.counts.UpToDate = min(d.Status.UpdatedNumberScheduled, r.counts.Desired)
	}
	for _, node := range nodes {
		r.add(node, reports[node.Name], o.daemonSet, failed[node.Name], starting[node.Name], now)
	}
	r.faulty = append(r.faulty, strandedNodes(&enforcer.Spec, o, now.Time)...)
	for _, p := range []*pending{o.freeing, o.tainted} {
		if p != nil {
			r.faulty = append(r.faulty, p.faults...)
		}
	}
	slices.Sort(r.faulty)
	r.conflicts = o.conflicts
	return r
}

// reportsByNode returns the NodeEnforcers by the names of their nodes.
func reportsByNode(o observation) map[string]*v1alpha1.NodeEnforcer {
	out := map[string]*v1alpha1.NodeEnforcer{}
	for i := range o.nodeEnforcers {
		out[o.nodeEnforcers[i].Name] = &o.nodeEnforcers[i]
	}
	return out
}

// desiredNodes returns the nodes that should enforce policies, sorted by name.
func desiredNodes(spec *v1alpha1.EnforcerSpec, nodes []corev1.Node) []*corev1.Node {
	var out []*corev1.Node
	for i := range nodes {
		if shouldEnforce(spec, &nodes[i]) {
			out = append(out, &nodes[i])
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// add adds a node to the summary. The NodeEnforcer n and the DaemonSet d may be nil. The
// NodeEnforcer may contain the report of an earlier pod.
func (r *rollup) add(node *corev1.Node, n *v1alpha1.NodeEnforcer, d *appsv1.DaemonSet, failure string, starting starting, now metav1.Time) {
	if n == nil {
		n = &v1alpha1.NodeEnforcer{}
	}
	why, fault := n.NotEnforcing(), faultOf(n)
	if why == "" {
		why = starting.text
	}
	if why == "" {
		r.counts.Ready++
	} else {
		why = firstNonEmpty(failure, why)
		r.missing = append(r.missing, node.Name+": "+why)
	}
	mayStillStart := failure == "" && (starting.text != "" && now.Sub(starting.since) < startTimeout ||
		now.Sub(startOf(node, n, d)) < startTimeout && (r.rolling() || neverReported(n)))
	switch {
	case fault != "":
		r.faulty = append(r.faulty, node.Name+": "+fault)
	case why != "" && !mayStillStart:
		r.faulty = append(r.faulty, node.Name+": "+why)
	}
}

func neverReported(n *v1alpha1.NodeEnforcer) bool {
	return meta.FindStatusCondition(n.Status.Conditions, string(v1alpha1.ConditionReady)) == nil
}

// startOf returns the time from which startTimeout is measured for a node that does not enforce
// policies yet.
func startOf(node *corev1.Node, n *v1alpha1.NodeEnforcer, d *appsv1.DaemonSet) time.Time {
	if ready := meta.FindStatusCondition(n.Status.Conditions, string(v1alpha1.ConditionReady)); ready != nil {
		return ready.LastTransitionTime.Time
	}
	if d != nil && d.CreationTimestamp.After(node.CreationTimestamp.Time) {
		return d.CreationTimestamp.Time
	}
	return node.CreationTimestamp.Time
}

// rolling reports whether pods are being replaced because the spec changed.
func (r *rollup) rolling() bool { return r.replacing || r.counts.UpToDate < r.counts.Desired }

// firstNonEmpty returns the first text that is not empty. At least one text must not be
// empty.
func firstNonEmpty(texts ...string) string {
	return texts[slices.IndexFunc(texts, func(s string) bool { return s != "" })]
}

// faultOf returns the fault that the agent of a node reports, or "" if there is none.
func faultOf(n *v1alpha1.NodeEnforcer) string {
	degraded := meta.FindStatusCondition(n.Status.Conditions, string(v1alpha1.ConditionDegraded))
	if degraded == nil || degraded.Status != metav1.ConditionTrue {
		return ""
	}
	return degraded.Message
}

func (r *rollup) available() metav1.Condition {
	switch {
	case r.counts.Desired == 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNoNodes,
			"no node matches nodeSelector and tolerations: no policy is enforced anywhere")
	case len(r.missing) > 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNodesMissing,
			fmt.Sprintf("%d of %d nodes do not enforce: %s", len(r.missing), r.counts.Desired, message.Join(r.missing, "; ")))
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes,
		fmt.Sprintf("%d of %d nodes enforce", r.counts.Ready, r.counts.Desired))
}

func (r *rollup) progressing() metav1.Condition {
	text := fmt.Sprintf("%d of %d nodes run the current spec", r.counts.UpToDate, r.counts.Desired)
	for _, p := range []*pending{r.freeing, r.tainted} {
		if p == nil {
			continue
		}
		text += fmt.Sprintf("; %s, on %d nodes: %s", p.what, len(p.nodes), message.Join(p.nodes, "; "))
	}
	switch {
	case r.counts.UpToDate < r.counts.Desired:
		return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonRollingOut, text)
	case r.freeing != nil:
		return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonFreeingNodes, text)
	case r.tainted != nil:
		return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonNodesStarting, text)
	case r.counts.Desired == 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonNoNodes, "no node is selected")
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes, text)
}

// degraded returns the condition about contested objects and faulty nodes. A starting node
// counts as faulty only after startTimeout has passed.
func (r *rollup) degraded() metav1.Condition {
	if len(r.conflicts) > 0 {
		return v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonConflict,
			message.Truncate(message.Join(slices.Concat(r.conflicts, r.faulty), "; "), message.Limit))
	}
	if len(r.faulty) > 0 {
		return v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded,
			message.Join(r.faulty, "; "))
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "every node works as expected")
}
