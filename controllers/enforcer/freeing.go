package enforcer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/controllers/enforcer/freeing"
	"github.com/sluicenet/sluice/controllers/enforcer/record"
	"github.com/sluicenet/sluice/controllers/enforcer/startup"
	"github.com/sluicenet/sluice/controllers/message"
)

// leavePlan describes what happens to the nodes that are no longer selected. Its fields contain the
// resulting changes of the Enforcer's objects.
type leavePlan struct {
	freeing.Plan
	// enforcer is the Enforcer whose objects are applied. While a new nodeSelector is rejected or
	// must wait, this Enforcer contains the previous nodeSelector.
	enforcer *v1alpha1.Enforcer
	// leaving contains the nodes on which the DaemonSet for leaving nodes must run.
	leaving []string
	// noMatch is true if the nodeSelector matches no node. Then no node is freed.
	noMatch bool
}

// planLeave decides when rules are removed from nodes, and which nodeSelector the main DaemonSet
// has.
//
// A nodeSelector that matches no node is rejected: the previous one stays. If a nodeSelector
// deselects nodes, planLeave first waits until a pod of the DaemonSet for leaving nodes is ready on
// each of these nodes, so that policies are enforced without a gap. After the time in
// spec.freeAfter, the nodeSelector is applied even if a pod is not ready.
func (r *Reconciler) planLeave(ctx context.Context, enforcer *v1alpha1.Enforcer, o observation) (leavePlan, error) {
	spec := &enforcer.Spec
	before, beforeErr := r.listedNodes(ctx, desired.LeavingName)
	begun, begunErr := r.listedNodes(ctx, desired.UninstallName)
	if err := errors.Join(beforeErr, begunErr); err != nil {
		return leavePlan{}, err
	}
	unselected, unavailable := unselectedNodes(spec, o, time.Now())
	l := leavePlan{enforcer: enforcer, noMatch: len(unselected) > 0 && !matchesAny(spec, o.nodes)}
	l.Plan = r.schedule.Plan(freeing.State{
		Now: time.Now(), After: freeAfter(spec), Unselected: unselected, Begun: begun, Unavailable: unavailable,
		Nodes: len(o.nodeEnforcers), Rejected: l.noMatch,
	})
	main, leaving := podsByNode(o.pods)
	l.leaving = slices.Concat(l.Enforced(), slices.DeleteFunc(before, func(node string) bool {
		return !isSelected(spec, o, node) || isReady(main[node])
	}))
	slices.Sort(l.leaving)
	l.leaving = slices.Compact(l.leaving)
	mustWait := slices.ContainsFunc(l.Waiting, func(node string) bool { return main[node] != nil && !isReady(leaving[node]) })
	if o.daemonSet != nil && (l.noMatch || mustWait) {
		l.enforcer = enforcer.DeepCopy()
		l.enforcer.Spec.NodeSelector = desired.NodeSelectorOf(o.daemonSet)
	}
	return l, nil
}

// listedNodes returns the nodes on which a DaemonSet with a list of nodes runs, sorted.
func (r *Reconciler) listedNodes(ctx context.Context, name string) ([]string, error) {
	live, err := r.owned.Live(ctx, desired.Object(desired.DaemonSetKind, r.namespace, name, nil, nil))
	if err != nil {
		return nil, err
	}
	nodes, err := desired.NodesOf(live)
	slices.Sort(nodes)
	return nodes, err
}

// freeAfter returns the time for which policies remain enforced on an unselected node.
func freeAfter(spec *v1alpha1.EnforcerSpec) time.Duration {
	if spec.FreeAfter == nil {
		return defaultFreeAfter
	}
	return spec.FreeAfter.Duration
}

// enforceLeaving runs enforcing pods on nodes that are no longer selected and still have rules. It
// announces the nodes from which the rules will be removed.
func (r *Reconciler) enforceLeaving(ctx context.Context, enforcer *v1alpha1.Enforcer, l leavePlan) error {
	if len(l.New) > 0 {
		r.log.Info("Nodes are no longer selected and will be freed", "nodes", l.New, "after", freeAfter(&enforcer.Spec))
		head := fmt.Sprintf("no longer selected: the rules are removed in %s, on at most %d nodes at the same time, from ", freeAfter(&enforcer.Spec), l.Limit)
		r.events.Eventf(enforcer, nil, corev1.EventTypeWarning, "NodesToBeFreed", "Free",
			"%s", message.Truncate(head+strings.Join(l.New, ", "), message.Limit))
	}
	if len(l.leaving) == 0 {
		return r.removeDaemonSet(ctx, desired.LeavingName)
	}
	wanted, err := desired.LeavingDaemonSet(enforcer, r.namespace, r.image, l.leaving)
	if err == nil {
		_, err = r.owned.Apply(ctx, wanted)
	}
	return err
}

// freeNodes removes the rules from nodes that enforced policies and that the nodeSelector no
// longer selects. The rules must not stay, because no dataplane evaluates packets on such a
// node: with the failure policy Closed, isolated pods could not open connections. freeNodes
// returns the nodes that still have rules, or nil if there are none.
//
// The API server stores all state except the start of the wait. Each node that enforced policies
// has a NodeEnforcer. The operator deletes it, with its finalizer, once the uninstall pod has
// verified that nothing is left on the node.
//
//  1. Policies remain enforced until the wait is over and it is the turn of the node.
//  2. The DaemonSet controller ends the enforcing pod of the node. Otherwise, the
//     running dataplane would repair the rules.
//  3. The uninstall DaemonSet runs only on nodes from which rules must be removed and
//     that have no enforcing pod. Its ready pod proves that nothing is left on the node.
//  4. The operator deletes the NodeEnforcer.
//  5. After the last node, the uninstall DaemonSet is deleted.
//
// If the node is selected again in the meantime, the uninstall DaemonSet no longer lists it,
// and the DaemonSet controller ends the uninstall pod. If the enforcing pod starts before the
// uninstall pod has ended, a lock on the table prevents conflicts: the uninstall pod removes
// rules only while no dataplane runs, and the dataplane starts only while no rules are being
// removed. The dataplane then reinstalls the rules that were already removed.
func (r *Reconciler) freeNodes(ctx context.Context, enforcer *v1alpha1.Enforcer, o observation, l leavePlan) (*pending, error) {
	p := &pending{what: "removing the rules from nodes that are no longer selected"}
	p.nodes = append(p.nodes, l.Lines()...)
	abandoned, err := r.freeAbandoned(ctx, enforcer, o, l, p)
	if err != nil {
		return nil, err
	}
	occupied := occupiedNodes(o.pods)
	var free []v1alpha1.NodeEnforcer
	for _, n := range nodeEnforcersNamed(o, l.Free) {
		switch pod := occupied[n.Name]; {
		case abandoned[n.Name]:
		case pod != "":
			p.nodes = append(p.nodes, n.Name+": "+pod+" must end first")
		default:
			free = append(free, n)
		}
	}
	if len(free) == 0 {
		return p.orNil(), r.removeDaemonSet(ctx, desired.UninstallName)
	}
	wanted, err := desired.UninstallDaemonSetOn(enforcer, r.namespace, r.image, namesOf(free))
	if err != nil {
		return nil, err
	}
	if outdated, err := r.removeOutdated(ctx, wanted); err != nil || outdated {
		for i := range free {
			p.addUnproved(free[i].Name, proofs{})
		}
		return p.orNil(), err
	}
	proofs, err := r.proofs(ctx, wanted)
	if err != nil {
		return nil, err
	}
	freed, err := r.releaseProved(ctx, enforcer, free, proofs, p)
	if err != nil {
		return nil, err
	}
	if len(freed) > 0 {
		r.log.Info("Removed the rules from nodes", "nodes", freed)
		r.events.Eventf(enforcer, nil, corev1.EventTypeNormal, "NodesFreed", "Free",
			"rules removed from nodes that are no longer selected: %s", message.Join(freed, ", "))
	}
	return p.orNil(), nil
}

// freeAbandoned releases the NodeEnforcers of abandoned nodes (see record.Release), and returns
// these nodes. It skips an abandoned node unless the node is unavailable or it is the node's turn
// to be freed. If the user abandons nodes that do not exist, freeAbandoned adds a fault to `p`.
func (r *Reconciler) freeAbandoned(
	ctx context.Context, enforcer *v1alpha1.Enforcer, o observation, l leavePlan, p *pending,
) (map[string]bool, error) {
	unknown, err := r.unknownNames(ctx, enforcer, func(name string) bool {
		return slices.ContainsFunc(o.nodes, func(n corev1.Node) bool { return n.Name == name }) ||
			slices.ContainsFunc(o.nodeEnforcers, func(n v1alpha1.NodeEnforcer) bool { return n.Name == name })
	})
	if err != nil {
		return nil, err
	}
	p.faults = append(p.faults, unknownFaults(unknown)...)
	candidates := slices.Clone(l.Free)
	if !l.noMatch {
		candidates = append(candidates, l.Kept...)
	}
	out, reasons := map[string]bool{}, map[string]string{}
	for _, name := range record.Abandoned(enforcer) {
		if slices.Contains(candidates, name) {
			out[name], reasons[name] = true, abandonedReason
		}
	}
	if len(out) == 0 {
		return out, nil
	}
	if err := r.recordLeft(ctx, enforcer, reasons, nil); err != nil {
		return nil, err
	}
	for _, n := range nodeEnforcersNamed(o, slices.Sorted(maps.Keys(out))) {
		if err := ignoreOutdated(record.Release(ctx, r.client, &n)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// releaseProved releases each NodeEnforcer in the list `free` whose node has a ready uninstall pod,
// and returns the names of these nodes. It adds all other nodes of the list to `p`.
func (r *Reconciler) releaseProved(
	ctx context.Context, enforcer *v1alpha1.Enforcer, free []v1alpha1.NodeEnforcer, proofs proofs, p *pending,
) (freed []string, err error) {
	for i := range free {
		n := &free[i]
		if !proofs.proved[n.Name] {
			p.addUnproved(n.Name, proofs)
			if proofs.failures[n.Name] != "" {
				p.faults[len(p.faults)-1] += "; " + howToAbandon
			}
			continue
		}
		err := record.Release(ctx, r.client, n)
		switch {
		case err == nil:
			freed = append(freed, n.Name)
		case ignoreOutdated(err) != nil:
			return nil, err
		}
	}
	if len(freed) > 0 {
		err = r.recordLeft(ctx, enforcer, nil, freed)
	}
	return freed, err
}

// unselectedNodes returns two sorted lists of node names. The list `all` contains the Linux nodes
// that have a NodeEnforcer and that the nodeSelector does not select. The list `unavailable`
// contains the nodes in `all` that no longer respond and can run no pod. A node counts as selected
// even if a taint keeps the enforcing pod off the node: the taint can be temporary, and without the
// rules, pods on the node would not be isolated.
func unselectedNodes(spec *v1alpha1.EnforcerSpec, o observation, now time.Time) (all, unavailable []string) {
	unselected := func(node *corev1.Node) bool { return isLinux(node) && !selects(spec, node) }
	gone := func(node *corev1.Node) bool { return unselected(node) && isGone(node, now) }
	return namesOf(nodeEnforcersOn(o, unselected)), namesOf(nodeEnforcersOn(o, gone))
}

func namesOf(list []v1alpha1.NodeEnforcer) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].Name
	}
	return out
}

// nodeEnforcersNamed returns the NodeEnforcers whose names are in a sorted list.
func nodeEnforcersNamed(o observation, sorted []string) []v1alpha1.NodeEnforcer {
	var out []v1alpha1.NodeEnforcer
	for i := range o.nodeEnforcers {
		if _, found := slices.BinarySearch(sorted, o.nodeEnforcers[i].Name); found {
			out = append(out, o.nodeEnforcers[i])
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.NodeEnforcer) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// matchesAny reports whether the nodeSelector of the spec selects a Linux node.
func matchesAny(spec *v1alpha1.EnforcerSpec, nodes []corev1.Node) bool {
	return slices.ContainsFunc(nodes, func(n corev1.Node) bool { return isLinux(&n) && selects(spec, &n) })
}

// isSelected reports whether a Linux node exists and the nodeSelector of the spec selects it.
func isSelected(spec *v1alpha1.EnforcerSpec, o observation, name string) bool {
	return slices.ContainsFunc(o.nodes, func(n corev1.Node) bool { return n.Name == name && isLinux(&n) && selects(spec, &n) })
}

// podsByNode returns the enforcing pods of the main DaemonSet and of the DaemonSet for leaving
// nodes, by node. It omits pods that are being deleted.
func podsByNode(pods []corev1.Pod) (main, leaving map[string]*corev1.Pod) {
	main, leaving = map[string]*corev1.Pod{}, map[string]*corev1.Pod{}
	for i := range pods {
		pod := &pods[i]
		switch {
		case pod.DeletionTimestamp != nil:
		case pod.Labels[desired.LabelLeaving] != "":
			leaving[pod.Spec.NodeName] = pod
		default:
			main[pod.Spec.NodeName] = pod
		}
	}
	return main, leaving
}

// strandedNodes returns a line for each selected node that still has rules although a taint
// keeps the enforcing pod off the node. Each line starts with the name of the node.
func strandedNodes(spec *v1alpha1.EnforcerSpec, o observation, now time.Time) []string {
	occupied := occupiedNodes(o.pods)
	taints := map[string]string{}
	var out []string
	for _, n := range nodeEnforcersOn(o, func(node *corev1.Node) bool {
		taint := startup.RepellingTaint(spec, node)
		if taint == nil || !isLinux(node) || isGone(node, now) || !selects(spec, node) || occupied[node.Name] != "" {
			return false
		}
		taints[node.Name] = taint.ToString()
		return true
	}) {
		out = append(out, fmt.Sprintf("%s: taint %s keeps its pod away; the rules on the node do not change", n.Name, taints[n.Name]))
	}
	return out
}

// nodeEnforcersOn returns the NodeEnforcers of existing nodes for which matches(node) is true,
// sorted by name.
func nodeEnforcersOn(o observation, matches func(*corev1.Node) bool) []v1alpha1.NodeEnforcer {
	matching := map[string]bool{}
	for i := range o.nodes {
		matching[o.nodes[i].Name] = matches(&o.nodes[i])
	}
	var out []v1alpha1.NodeEnforcer
	for i := range o.nodeEnforcers {
		if matching[o.nodeEnforcers[i].Name] {
			out = append(out, o.nodeEnforcers[i])
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.NodeEnforcer) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// occupiedNodes returns the name of an enforcing pod for each node that has such a pod. The `pods`
// parameter contains all enforcing pods, including terminating pods.
func occupiedNodes(pods []corev1.Pod) map[string]string {
	out := map[string]string{}
	for i := range pods {
		out[pods[i].Spec.NodeName] = pods[i].Name
	}
	return out
}

// removeOutdated deletes the uninstall DaemonSet if it differs from the wanted DaemonSet in
// more than the list of nodes, for example in the image. An update is not enough, because
// the update strategy OnDelete keeps the old pods. removeOutdated reports whether it deleted
// the DaemonSet. The deletion event causes the next reconciliation.
func (r *Reconciler) removeOutdated(ctx context.Context, wanted *unstructured.Unstructured) (bool, error) {
	live, err := r.owned.Live(ctx, wanted)
	if err != nil || live == nil || live.GetAnnotations()[desired.AnnotationMadeFrom] == wanted.GetAnnotations()[desired.AnnotationMadeFrom] {
		return false, err
	}
	return true, r.removeDaemonSet(ctx, desired.UninstallName)
}
