package enforcer

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/apply"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/controllers/message"
)

// freeNodes removes the rules from nodes that enforced policies and that the nodeSelector no
// longer selects. The rules must not stay, because no dataplane evaluates packets on such a
// node: with the failure policy Closed, isolated pods could not open connections. freeNodes
// returns the nodes that are not free yet, or nil if all are free.
//
// The API server stores all state. A node that enforced policies has a NodeEnforcer, which is
// deleted once the uninstall pod has verified that nothing is left on the node.
//
//  1. The DaemonSet controller ends the enforcing pod of the node. Otherwise, the
//     running dataplane would repair the rules.
//  2. The uninstall DaemonSet runs only on nodes from which rules must be removed and
//     that have no enforcing pod. Its ready pod proves that nothing is left on the node.
//  3. The NodeEnforcer is deleted.
//  4. After the last node, the uninstall DaemonSet is deleted.
//
// If the node is selected again in the meantime, the uninstall DaemonSet no longer lists it,
// and the DaemonSet controller ends the uninstall pod. If the enforcing pod starts before the
// uninstall pod has ended, a lock on the table prevents conflicts: the uninstall pod removes
// rules only while no dataplane runs, and the dataplane starts only while no rules are being
// removed. The dataplane then reinstalls the rules that were already removed.
func (r *Reconciler) freeNodes(ctx context.Context, enforcer *v1alpha1.Enforcer, o observation) (*pending, error) {
	p := &pending{what: "removing the rules from nodes that are no longer selected"}
	occupied := occupiedNodes(o.pods)
	var free []v1alpha1.NodeEnforcer
	for _, n := range nodesToFree(&enforcer.Spec, o, time.Now()) {
		if pod := occupied[n.Name]; pod != "" {
			p.nodes = append(p.nodes, n.Name+": "+pod+" must end first")
		} else {
			free = append(free, n)
		}
	}
	if len(free) == 0 {
		return p.orNil(), r.removeDaemonSet(ctx, desired.UninstallName)
	}
	wanted, err := uninstallOn(enforcer, r.namespace, r.image, free)
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
	freed, err := r.deleteProved(ctx, free, proofs, p)
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

// deleteProved deletes each NodeEnforcer in the list `free` whose node has a ready uninstall
// pod, and returns the names of these nodes. It adds all other nodes of the list to p.
func (r *Reconciler) deleteProved(ctx context.Context, free []v1alpha1.NodeEnforcer, proofs proofs, p *pending) (freed []string, err error) {
	for i := range free {
		n := &free[i]
		if !proofs.proved[n.Name] {
			p.addUnproved(n.Name, proofs)
			continue
		}
		err := r.client.Delete(ctx, n, client.Preconditions{UID: &n.UID})
		switch {
		case err == nil:
			freed = append(freed, n.Name)
		case ignoreOutdated(err) != nil:
			return nil, fmt.Errorf("deleting NodeEnforcer %s: %w", n.Name, err)
		}
	}
	return freed, nil
}

// nodesToFree returns the NodeEnforcers of nodes that the nodeSelector no longer selects,
// sorted by name. It omits nodes that are gone, because no pod can run there. It also omits
// nodes where only a taint keeps the enforcing pod away: the taint can be temporary, and
// without the rules, pods on the node would not be isolated.
func nodesToFree(spec *v1alpha1.EnforcerSpec, o observation, now time.Time) []v1alpha1.NodeEnforcer {
	return nodeEnforcersOn(o, func(node *corev1.Node) bool {
		return isLinux(node) && !isGone(node, now) && !selects(spec, node)
	})
}

// strandedNodes returns a line for each selected node that still has rules although a taint
// keeps the enforcing pod off the node. Each line starts with the name of the node.
func strandedNodes(spec *v1alpha1.EnforcerSpec, o observation, now time.Time) []string {
	occupied := occupiedNodes(o.pods)
	taints := map[string]string{}
	var out []string
	for _, n := range nodeEnforcersOn(o, func(node *corev1.Node) bool {
		taint := repellingTaint(spec, node)
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

// occupiedNodes returns the name of an enforcing pod for each node that has such a pod. The
// parameter pods contains all enforcing pods, including terminating pods.
func occupiedNodes(pods []corev1.Pod) map[string]string {
	out := map[string]string{}
	for i := range pods {
		out[pods[i].Spec.NodeName] = pods[i].Name
	}
	return out
}

// annotationMadeFrom is an annotation of uninstall DaemonSets. Its value is a hash of the whole
// object except the list of nodes. The operator compares hashes to detect outdated DaemonSets.
const annotationMadeFrom = "policy.sluice.dev/made-from"

// uninstallOn returns the DaemonSet of desired.UninstallDaemonSet, limited to the given nodes. With the update
// strategy OnDelete, a change of the list of nodes does not replace the pods on nodes that stay
// in the list. The DaemonSet controller still ends the pods on nodes that are removed from the
// list.
func uninstallOn(enforcer *v1alpha1.Enforcer, namespace, image string, nodes []v1alpha1.NodeEnforcer) (*unstructured.Unstructured, error) {
	object, err := desired.UninstallDaemonSet(enforcer, namespace, image)
	if err != nil {
		return nil, err
	}
	sum, err := apply.Fingerprint(object)
	if err != nil {
		return nil, err
	}
	daemonSet, err := desired.TypedDaemonSet(object)
	if err != nil {
		return nil, err
	}
	// The API allows only one value in each field requirement, so each node needs its own node
	// selector term.
	var terms []corev1.NodeSelectorTerm
	for i := range nodes {
		terms = append(terms, corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{
			Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{nodes[i].Name},
		}}})
	}
	daemonSet.Spec.Template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms},
	}}
	daemonSet.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
	daemonSet.Annotations = map[string]string{annotationMadeFrom: hex.EncodeToString(sum[:])}
	return desired.Unstructured(desired.DaemonSetKind, daemonSet)
}

// removeOutdated deletes the uninstall DaemonSet if it differs from the wanted DaemonSet in
// more than the list of nodes, for example in the image. An update is not enough, because
// OnDelete would keep the old pods. removeOutdated reports whether it deleted the DaemonSet.
// The deletion event causes the next reconciliation.
func (r *Reconciler) removeOutdated(ctx context.Context, wanted *unstructured.Unstructured) (bool, error) {
	live, err := r.owned.Live(ctx, wanted)
	if err != nil || live == nil || live.GetAnnotations()[annotationMadeFrom] == wanted.GetAnnotations()[annotationMadeFrom] {
		return false, err
	}
	return true, r.removeDaemonSet(ctx, desired.UninstallName)
}
