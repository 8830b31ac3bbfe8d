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
	"github.com/sluicenet/sluice/controllers/enforcer/steady"
	"github.com/sluicenet/sluice/internal/buildinfo"
)

// observation contains the state of the cluster from which the status of an Enforcer is computed.
type observation struct {
	// daemonSet is nil until the DaemonSet has been created.
	daemonSet *appsv1.DaemonSet
	// pods contains the pods of the DaemonSet. A pod status shows why a dataplane does not run.
	pods          []corev1.Pod
	nodes         []corev1.Node
	nodeEnforcers []v1alpha1.NodeEnforcer
	// freeing lists the nodes from which rules are being removed. It is nil if there are no
	// such nodes.
	freeing *pending
	// noMatch is true if the nodeSelector matches no node. Then no node is freed.
	noMatch bool
	// tainted lists the nodes that keep the startup taint. It is nil if there are none.
	tainted *pending
	// applyFailure is the error from applying the Enforcer's objects, or "".
	applyFailure string
	// conflicts contains a line for each object that another client changes repeatedly.
	conflicts []string
	// rejection describes why the API server rejects pods of the DaemonSet, or is "".
	rejection string
}

// startTimeout is the time that a new or replaced pod may take to start. After this time, the node
// counts as faulty and as blocking the rollout.
const startTimeout = 2 * time.Minute

// defaultFaultDelay is the time that a state must last before it changes the condition Available
// or Degraded, unless Options specifies another time.
const defaultFaultDelay = 30 * time.Second

// history records for how long nodes have been in a state, by the clock of the operator. It is not
// stored in the API server. If Degraded is already True in the first observation, the operator has
// restarted, so all states in this observation count as old.
type history struct {
	delay  time.Duration
	faults *steady.Filter
	// The keys of these maps are names of nodes: `missing` contains the nodes that do not enforce
	// policies, `unready` contains the nodes whose dataplane is not ready, and `blocking` contains
	// the nodes with a pod that is not ready or is being deleted.
	missing, unready, blocking steady.Times
	started                    bool
	// blockedSince is the time since which a node has blocked the current rollout, or zero.
	blockedSince time.Time
	// template is the template generation that the DaemonSet's status last described.
	template string
}

func newHistory(delay time.Duration) *history {
	if delay == 0 {
		delay = defaultFaultDelay
	}
	return &history{delay: delay, faults: steady.NewFilter(delay)}
}

// begin returns the start time of the states that appear in this observation for the first time.
func (h *history) begin(enforcer *v1alpha1.Enforcer, now time.Time) time.Time {
	first := !h.started
	h.started = true
	if first && meta.IsStatusConditionTrue(enforcer.Status.Conditions, string(v1alpha1.ConditionDegraded)) {
		return now.Add(-startTimeout - h.delay)
	}
	return now
}

// isCurrent reports whether the status of a DaemonSet describes its current pod template. After
// each change, the DaemonSet controller needs a moment to write the status. If a change affects
// only other fields, such as the update strategy, the old status still describes the current
// template.
func (h *history) isCurrent(d *appsv1.DaemonSet) bool {
	template := d.Annotations[appsv1.DeprecatedTemplateGeneration]
	if d.Status.ObservedGeneration == d.Generation {
		h.template = template
		return true
	}
	return template != "" && template == h.template
}

// enforcerStatus returns the status of an Enforcer. If the status of a condition does not
// change, the condition keeps its last transition time.
func enforcerStatus(enforcer *v1alpha1.Enforcer, o observation, h *history, now metav1.Time) v1alpha1.EnforcerStatus {
	r := newRollup(enforcer, o, h, now.Time)
	out := v1alpha1.EnforcerStatus{
		ObservedGeneration: enforcer.Generation,
		Nodes:              r.counts,
		OperatorVersion:    buildinfo.Version(),
		Conditions:         slices.Clone(enforcer.Status.Conditions),
	}
	for _, condition := range []metav1.Condition{r.available(), r.progressing(), r.degraded()} {
		condition.ObservedGeneration = enforcer.Generation
		condition.LastTransitionTime = now
		meta.SetStatusCondition(&out.Conditions, condition)
	}
	return out
}

// rollup summarizes the nodes. Its lists are sorted. Each line in a list starts with the name
// of a node.
type rollup struct {
	observation
	counts v1alpha1.NodeCounts
	// replacing is true if the DaemonSet has pods that are not ready.
	replacing bool
	// The list `missing` contains the nodes that do not enforce policies. The list `unreachable`
	// contains the nodes that do not enforce policies and are not Ready.
	missing, unreachable []string
	// lasting is true if a node in the list `missing` has not enforced policies for some time.
	lasting bool
	// wasAvailable is true if the condition Available was True in the previous status.
	wasAvailable bool
	// blocked lists the nodes that block a rollout.
	blocked []string
	// faults contains the faults of nodes and of the operator that have lasted for some time.
	faults map[string]string
}

// applyFault is the key of the fault that objects cannot be applied. No node has this name.
const applyFault = "/apply"

func newRollup(enforcer *v1alpha1.Enforcer, o observation, h *history, now time.Time) rollup {
	r := rollup{
		observation:  o,
		replacing:    o.daemonSet == nil || o.daemonSet.Status.NumberUnavailable > 0,
		wasAvailable: meta.IsStatusConditionTrue(enforcer.Status.Conditions, string(v1alpha1.ConditionAvailable)),
	}
	nodes := desiredNodes(&enforcer.Spec, o.nodes)
	r.counts.Desired = int32(len(nodes))
	if d := o.daemonSet; d != nil && h.isCurrent(d) {
		r.counts.UpToDate = min(d.Status.UpdatedNumberScheduled, r.counts.Desired)
	}
	since, faults := h.begin(enforcer, now), map[string]steady.Fault{}
	r.inspect(nodes, h, since, now, faults)
	if r.outdated() == 0 {
		h.blockedSince = time.Time{}
	}
	for _, line := range strandedNodes(&enforcer.Spec, o, now) {
		addFault(faults, line, since)
	}
	for _, p := range []*pending{o.freeing, o.tainted} {
		if p != nil {
			for _, line := range p.faults {
				addFault(faults, line, since)
			}
		}
	}
	if o.applyFailure != "" {
		faults[applyFault] = steady.Fault{Text: o.applyFailure, Since: since}
	}
	r.faults = h.faults.Observe(faults, now)
	return r
}

// addFault adds a line about a fault. The name of the node at the start of the line is the key.
func addFault(faults map[string]steady.Fault, line string, since time.Time) {
	node, _, _ := strings.Cut(line, ": ")
	if old := faults[node]; old.Text != "" {
		line = old.Text + "; " + line
	}
	faults[node] = steady.Fault{Text: line, Since: since}
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

// nodeState describes a node that should enforce policies.
type nodeState struct {
	name string
	// why is the reason why the node does not enforce policies, or "" if it does.
	why string
	// fault is the fault that the agent of the node reports, or "".
	fault string
	// failure is the reason why a container of the node's pod failed, or "".
	failure string
	// unreachable reports whether the Node is not Ready.
	unreachable bool
	// starting reports whether the node's dataplane may need more time to start.
	starting bool
	// pod describes the dataplane of the node if it is not ready.
	pod *unreadyDataplane
	// blocking reports whether a pod of the node is not ready or is being deleted.
	blocking bool
}

// inspect adds the nodes to the summary, and adds their current faults to the map `faults`.
func (r *rollup) inspect(nodes []*corev1.Node, h *history, since, now time.Time, faults map[string]steady.Fault) {
	states := r.states(nodes)
	h.blockedSince = time.Time{}
	h.missing.Observe(names(states, func(s *nodeState) bool { return s.why != "" && !s.unreachable }), since)
	h.unready.Observe(names(states, func(s *nodeState) bool { return s.pod != nil && !s.unreachable }), since)
	h.blocking.Observe(names(states, func(s *nodeState) bool { return s.blocking && !s.unreachable }), since)
	for i := range states {
		s := &states[i]
		mayStart := s.failure == "" && s.starting && !h.missing.Lasted(s.name, startTimeout, now)
		if s.pod != nil && s.failure == "" && h.unready.Lasted(s.name, startTimeout, now) {
			s.why = s.pod.late(s.why, s.fault)
		}
		switch {
		case s.why == "":
			r.counts.Ready++
		case s.unreachable:
			r.counts.Unreachable++
			r.unreachable = append(r.unreachable, s.name)
			continue
		default:
			r.missing = append(r.missing, s.name+": "+s.why)
			r.lasting = r.lasting || h.missing.Lasted(s.name, h.delay, now)
		}
		if s.fault != "" {
			addFault(faults, s.name+": "+s.fault, since)
		} else if s.why != "" && !mayStart {
			addFault(faults, s.name+": "+s.why, h.missing.Since(s.name))
		}
		if at := h.blocking.Since(s.name); h.blocking.Lasted(s.name, startTimeout, now) {
			if h.blockedSince.IsZero() || at.Before(h.blockedSince) {
				h.blockedSince = at
			}
			r.blocked = append(r.blocked, fmt.Sprintf("node %s since %s", s.name, at.UTC().Format(time.RFC3339)))
		}
	}
}

// names returns the names of the nodes that match.
func names(states []nodeState, matches func(*nodeState) bool) []string {
	var out []string
	for i := range states {
		if matches(&states[i]) {
			out = append(out, states[i].name)
		}
	}
	return out
}

// states returns the states of nodes. It also considers the current pods, because a
// NodeEnforcer may contain the report of an earlier pod.
func (r *rollup) states(nodes []*corev1.Node) []nodeState {
	reports, failed, unready := reportsByNode(r.observation), containerFailures(r.pods), unreadyDataplanes(r.pods)
	occupied, blocking := occupiedNodes(r.pods), blockingNodes(r.pods)
	var out []nodeState
	for _, node := range nodes {
		n := reports[node.Name]
		if n == nil {
			n = &v1alpha1.NodeEnforcer{}
		}
		s := nodeState{
			name: node.Name, why: n.NotEnforcing(), fault: faultOf(n), failure: failed[node.Name],
			unreachable: isNotReady(node), pod: unready[node.Name], blocking: blocking[node.Name],
		}
		s.starting = s.pod != nil || r.rolling() || neverReported(n)
		if s.why == "" && s.pod != nil {
			s.why = s.pod.starting()
		}
		if occupied[node.Name] == "" && r.rejection != "" {
			s.failure = "no pod can be created: " + r.rejection
		}
		if s.why != "" && s.failure != "" {
			s.why = s.failure
		}
		out = append(out, s)
	}
	return out
}

// isNotReady reports whether the condition Ready of a node is False or Unknown. A node without
// the condition is new.
func isNotReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status != corev1.ConditionTrue
		}
	}
	return false
}

func neverReported(n *v1alpha1.NodeEnforcer) bool {
	return meta.FindStatusCondition(n.Status.Conditions, string(v1alpha1.ConditionReady)) == nil
}

// outdated returns the number of nodes that are reachable and do not run the current spec yet.
func (r *rollup) outdated() int32 {
	return max(r.counts.Desired-r.counts.UpToDate-r.outdatedUnreachable(), 0)
}

// outdatedUnreachable returns the number of unreachable nodes whose pods do not run the current
// template of the DaemonSet.
func (r *rollup) outdatedUnreachable() int32 {
	n := r.counts.Unreachable
	if r.daemonSet == nil {
		return n
	}
	updated := map[string]bool{}
	current := r.daemonSet.Annotations[appsv1.DeprecatedTemplateGeneration]
	for i := range r.pods {
		if pod := &r.pods[i]; current != "" && pod.Labels[templateGeneration] == current {
			updated[pod.Spec.NodeName] = true
		}
	}
	for _, node := range r.unreachable {
		if updated[node] {
			n--
		}
	}
	return n
}

// templateGeneration is the label in which the DaemonSet controller stores the template
// generation of a pod.
const templateGeneration = "pod-template-generation"

// rolling reports whether pods are being replaced because the spec changed.
func (r *rollup) rolling() bool { return r.replacing || r.counts.UpToDate < r.counts.Desired }

// faultOf returns the fault that the agent of a node reports, or "" if there is none.
func faultOf(n *v1alpha1.NodeEnforcer) string {
	degraded := meta.FindStatusCondition(n.Status.Conditions, string(v1alpha1.ConditionDegraded))
	if degraded == nil || degraded.Status != metav1.ConditionTrue {
		return ""
	}
	return degraded.Message
}
