package operator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// cluster is what an Enforcer's status is made of.
type cluster struct {
	// daemonSet is nil before it is made.
	daemonSet *appsv1.DaemonSet
	// pods are those of the daemonSet. They say why a node's dataplane ends.
	pods          []corev1.Pod
	nodes         []corev1.Node
	nodeEnforcers []v1alpha1.NodeEnforcer
	// freeing are nodes that are freed of their rules, nil if there are none.
	freeing *waiting
}

// enforcerStatus gives the status of an Enforcer. Conditions that stay as they
// were keep the time of their last transition.
func enforcerStatus(enforcer *v1alpha1.Enforcer, c cluster, now metav1.Time) v1alpha1.EnforcerStatus {
	r := newRollup(enforcer, c, now)
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

// startTimeout is how long a node's pod may take to start, when it is new or
// replaced, before the node counts as degraded.
const startTimeout = 2 * time.Minute

// rollup is what the nodes come to. The lists are sorted by node, each line
// begins with its name.
type rollup struct {
	counts v1alpha1.NodeCounts
	// replacing reports whether the DaemonSet has pods that are not ready.
	replacing bool
	// silent are nodes that do not enforce, faulty those with something that
	// does not work as it should.
	silent, faulty []string
	// freeing are nodes that leave.
	freeing *waiting
}

func newRollup(enforcer *v1alpha1.Enforcer, c cluster, now metav1.Time) rollup {
	known := map[string]*v1alpha1.NodeEnforcer{}
	for i := range c.nodeEnforcers {
		known[c.nodeEnforcers[i].Name] = &c.nodeEnforcers[i]
	}
	ended, late := endings(c.pods), startings(c.pods)
	r := rollup{replacing: c.daemonSet == nil || c.daemonSet.Status.NumberUnavailable > 0, freeing: c.freeing}
	var should []*corev1.Node
	for i := range c.nodes {
		if shouldEnforce(&enforcer.Spec, &c.nodes[i]) {
			should = append(should, &c.nodes[i])
		}
	}
	slices.SortFunc(should, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	r.counts.Desired = int32(len(should))
	if d := c.daemonSet; d != nil && d.Status.ObservedGeneration == d.Generation {
		r.counts.UpToDate = min(d.Status.UpdatedNumberScheduled, r.counts.Desired)
	}
	for _, node := range should {
		r.add(node, known[node.Name], c.daemonSet, ended[node.Name], late[node.Name], now)
	}
	r.faulty = append(r.faulty, stranded(&enforcer.Spec, c, now.Time)...)
	if c.freeing != nil {
		r.faulty = append(r.faulty, c.freeing.faults...)
	}
	slices.Sort(r.faulty)
	return r
}

// add counts a node. The NodeEnforcer and the DaemonSet may be nil. What an agent
// said last may be from before its pod was replaced.
func (r *rollup) add(node *corev1.Node, n *v1alpha1.NodeEnforcer, d *appsv1.DaemonSet, ended string, starting starting, now metav1.Time) {
	if n == nil {
		n = &v1alpha1.NodeEnforcer{}
	}
	why, fault := notEnforcing(n, now.Time), faultOf(n)
	if why == "" {
		why = starting.text
	}
	if why == "" {
		r.counts.Ready++
	} else {
		why = firstOf(ended, why)
		r.silent = append(r.silent, node.Name+": "+why)
	}
	onItsWay := ended == "" && (starting.text != "" && now.Sub(starting.since) < startTimeout ||
		now.Sub(startOf(node, n, d)) < startTimeout && (r.rolling() || neverReported(n)))
	switch {
	case fault != "":
		r.faulty = append(r.faulty, node.Name+": "+fault)
	case why != "" && !onItsWay:
		r.faulty = append(r.faulty, node.Name+": "+why)
	}
}

func neverReported(n *v1alpha1.NodeEnforcer) bool { return n.Status.Heartbeat == nil }

// startOf gives when a node that does not enforce may have begun to start.
func startOf(node *corev1.Node, n *v1alpha1.NodeEnforcer, d *appsv1.DaemonSet) time.Time {
	if ready := meta.FindStatusCondition(n.Status.Conditions, string(v1alpha1.ConditionReady)); ready != nil {
		return ready.LastTransitionTime.Time
	}
	if d != nil && d.CreationTimestamp.After(node.CreationTimestamp.Time) {
		return d.CreationTimestamp.Time
	}
	return node.CreationTimestamp.Time
}

// rolling reports whether pods are on their way to the present spec.
func (r *rollup) rolling() bool { return r.replacing || r.counts.UpToDate < r.counts.Desired }

func firstOf(texts ...string) string {
	return texts[slices.IndexFunc(texts, func(s string) bool { return s != "" })]
}

// faultOf gives what a node's agent says does not work as it should.
func faultOf(n *v1alpha1.NodeEnforcer) string {
	degraded := meta.FindStatusCondition(n.Status.Conditions, string(v1alpha1.ConditionDegraded))
	if degraded == nil || degraded.Status != metav1.ConditionTrue {
		return ""
	}
	return degraded.Message
}

// endings gives, for each node, why a container of its pod does not run: its
// last words, such as which feature the kernel lacks. A container whose
// terminationMessagePolicy is FallbackToLogsOnError says its last log lines.
func endings(pods []corev1.Pod) map[string]string {
	out := map[string]string{}
	for i := range pods {
		pod := &pods[i]
		for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if text := ending(&c); text != "" {
				out[pod.Spec.NodeName] = text
			}
		}
	}
	return out
}

// dataplaneContainerName is the container that judges packets.
const dataplaneContainerName = "dataplane"

// starting is a dataplane that is not there yet, and since when.
type starting struct {
	text  string
	since time.Time
}

// startings gives, for each node that has pods but no dataplane that is ready,
// what it waits for.
func startings(pods []corev1.Pod) map[string]starting {
	out, listening := map[string]starting{}, map[string]bool{}
	for i := range pods {
		pod := &pods[i]
		for _, c := range pod.Status.ContainerStatuses {
			switch {
			case c.Name != dataplaneContainerName:
			case pod.DeletionTimestamp != nil:
				out[pod.Spec.NodeName] = starting{"its dataplane is being replaced", pod.DeletionTimestamp.Time}
			case c.Ready:
				listening[pod.Spec.NodeName] = true
			default:
				out[pod.Spec.NodeName] = starting{"its dataplane is starting", pod.CreationTimestamp.Time}
			}
		}
	}
	maps.DeleteFunc(out, func(node string, _ starting) bool { return listening[node] })
	return out
}

func ending(c *corev1.ContainerStatus) string {
	if c.State.Running != nil && c.Ready {
		return ""
	}
	for _, state := range []corev1.ContainerState{c.State, c.LastTerminationState} {
		if t := state.Terminated; t != nil && t.ExitCode != 0 {
			return fmt.Sprintf("%s ended with code %d: %s", c.Name, t.ExitCode, firstOf(lastLine(t.Message), t.Reason, "it said nothing"))
		}
	}
	if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
		return fmt.Sprintf("%s waits: %s", c.Name, firstOf(w.Message, w.Reason, "for no stated reason"))
	}
	return ""
}

// lastLine gives the last line that is not empty, at most lineLimit bytes of it.
func lastLine(text string) string {
	const lineLimit = 512
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return shortened(strings.TrimSpace(lines[len(lines)-1]), lineLimit)
}

func (r *rollup) available() metav1.Condition {
	switch {
	case r.counts.Desired == 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNoNodes,
			"no node matches nodeSelector and tolerations: no policy is enforced anywhere")
	case len(r.silent) > 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonNodesMissing,
			fmt.Sprintf("%d of %d nodes do not enforce: %s", len(r.silent), r.counts.Desired, few(r.silent, "; ")))
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes,
		fmt.Sprintf("%d of %d nodes enforce", r.counts.Ready, r.counts.Desired))
}

func (r *rollup) progressing() metav1.Condition {
	text := fmt.Sprintf("%d of %d nodes run with the present spec", r.counts.UpToDate, r.counts.Desired)
	if w := r.freeing; w != nil {
		text += fmt.Sprintf("; %s, on %d nodes: %s", w.what, len(w.nodes), few(w.nodes, "; "))
	}
	switch {
	case r.counts.UpToDate < r.counts.Desired:
		return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonRollingOut, text)
	case r.freeing != nil:
		return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonFreeingNodes, text)
	case r.counts.Desired == 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonNoNodes, "no node is selected")
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes, text)
}

// degraded is about nodes that do not do what they should. A node that starts is
// on its way, for startTimeout.
func (r *rollup) degraded() metav1.Condition {
	if len(r.faulty) > 0 {
		return v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded,
			few(r.faulty, "; "))
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "every node works as it should")
}
