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
	"github.com/sluicenet/sluice/controllers/message"
)

// freeNodes removes the rules from each node that enforced and that the
// nodeSelector no longer selects. No dataplane evaluates packets on such a node,
// so with the failure policy Closed its isolated pods could not open connections.
// freeNodes returns what it waits for, nil if all nodes are done.
//
// The state is in the API server only: a node that enforced has a NodeEnforcer,
// and loses it once its pod has verified that nothing is left.
//
//  1. The DaemonSet controller ends the node's pod. A running dataplane would
//     repair the rules.
//  2. The uninstall DaemonSet runs on exactly the nodes that are to be freed and no
//     longer have such a pod. Its ready pod is the proof, as in an uninstallation.
//  3. The NodeEnforcer is deleted.
//  4. After the last node, the uninstall DaemonSet is deleted.
//
// If a node is selected again in the meantime, the uninstall DaemonSet no longer
// names it, and the DaemonSet controller ends the uninstall pod. Both pods use the
// same host port (dataplaneHealthPort), so the enforcing pod starts only after
// that. It installs again what was removed until then.
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
		return p.orNil(), r.removeDaemonSet(ctx, uninstallName)
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

// deleteProved deletes the NodeEnforcers of nodes with a proof, and returns the
// names of these nodes. It adds the other nodes to p.
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

// nodesToFree returns the NodeEnforcers of nodes that the nodeSelector no longer
// selects, by name. Taints do not count: they are not about policies and can be
// temporary, and freeing a node opens its pods. Nodes that are gone are left
// out, because no pod can run there.
func nodesToFree(spec *v1alpha1.EnforcerSpec, o observation, now time.Time) []v1alpha1.NodeEnforcer {
	return nodeEnforcersOn(o, func(node *corev1.Node) bool {
		return isLinux(node) && !isGone(node, now) && !selects(spec, node)
	})
}

// strandedNodes returns a line for each selected node that keeps its rules while
// a taint keeps its pod away. The line starts with the name of the node.
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

// nodeEnforcersOn returns the NodeEnforcers of existing nodes that match, by name.
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

// occupiedNodes returns the name of a pod for each node that has one. Terminating
// pods count.
func occupiedNodes(pods []corev1.Pod) map[string]string {
	out := map[string]string{}
	for i := range pods {
		out[pods[i].Spec.NodeName] = pods[i].Name
	}
	return out
}

// annotationMadeFrom is the annotation of an uninstall DaemonSet with a hash of
// everything in it except its nodes.
const annotationMadeFrom = "policy.sluice.dev/made-from"

// uninstallOn returns the DaemonSet of uninstallOf for some nodes only. With its
// update strategy OnDelete, a change of the list of nodes does not replace the
// pods on the other nodes. The DaemonSet controller still ends pods on nodes that
// are no longer named.
func uninstallOn(enforcer *v1alpha1.Enforcer, namespace, image string, nodes []v1alpha1.NodeEnforcer) (*unstructured.Unstructured, error) {
	object, err := uninstallOf(enforcer, namespace, image)
	if err != nil {
		return nil, err
	}
	sum, err := fingerprint(object)
	if err != nil {
		return nil, err
	}
	daemonSet, err := typedDaemonSet(object)
	if err != nil {
		return nil, err
	}
	// The API allows one value in each field requirement.
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
	return unstructuredOf(daemonSetKind, daemonSet)
}

// removeOutdated deletes the uninstall DaemonSet if it differs from the wanted one
// in more than its nodes, for example in the image, because OnDelete would keep
// its pods. It reports whether there is such a DaemonSet. The event of its
// deletion causes the next reconciliation.
func (r *Reconciler) removeOutdated(ctx context.Context, wanted *unstructured.Unstructured) (bool, error) {
	live, err := r.owned.live(ctx, wanted)
	if err != nil || live == nil || live.GetAnnotations()[annotationMadeFrom] == wanted.GetAnnotations()[annotationMadeFrom] {
		return false, err
	}
	return true, r.removeDaemonSet(ctx, uninstallName)
}
