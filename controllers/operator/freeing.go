package operator

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
)

// free takes its rules from each node that enforced and that the nodeSelector
// does not select any more. Without its pod nobody judges there, and with the
// failure policy Closed isolated pods would get no new flow. It gives what it
// waits for, nil if no node leaves.
//
// Nothing is remembered but what the API server has: a node with a NodeEnforcer
// enforced, and loses it once it has proved that nothing is left.
//
//  1. The DaemonSet controller ends the node's pod. A dataplane that runs would
//     repair what is removed.
//  2. The DaemonSet of an uninstallation runs on exactly the nodes that leave and
//     have no such pod any more. Its ready pod is the proof, as in uninstalling.
//  3. The NodeEnforcer is deleted.
//  4. With the last node, the DaemonSet is.
//
// A node that comes back meanwhile is not named any more, so that the DaemonSet
// controller ends the pod that uninstalls. The pod that enforces gets to the
// node when that one has ended, for both have the same port of the node
// (dataplaneHealthPort): whatever was removed until then, it makes anew.
func (r *enforcerReconciler) free(ctx context.Context, enforcer *v1alpha1.Enforcer, c cluster) (*waiting, error) {
	w := &waiting{what: "nodes that are not selected any more are freed of their rules"}
	occupied := occupiedNodes(c.pods)
	var free []v1alpha1.NodeEnforcer
	for _, n := range leaving(&enforcer.Spec, c, time.Now()) {
		if pod := occupied[n.Name]; pod != "" {
			w.nodes = append(w.nodes, n.Name+": "+pod+" has to end first")
		} else {
			free = append(free, n)
		}
	}
	if len(free) == 0 {
		return w.unlessNone(), r.removeDaemonSet(ctx, uninstallName)
	}
	wanted, err := uninstallOn(enforcer, r.namespace, r.image, free)
	if err != nil {
		return nil, err
	}
	if outdated, err := r.removeOutdated(ctx, wanted); err != nil || outdated {
		for i := range free {
			w.addUnproved(free[i].Name, proofs{})
		}
		return w.unlessNone(), err
	}
	proofs, err := r.proofs(ctx, wanted)
	if err != nil {
		return nil, err
	}
	var freed []string
	for i := range free {
		n := &free[i]
		if !proofs.proved[n.Name] {
			w.addUnproved(n.Name, proofs)
			continue
		}
		err := r.client.Delete(ctx, n, client.Preconditions{UID: &n.UID})
		switch {
		case err == nil:
			freed = append(freed, n.Name)
		case unlessOutdated(err) != nil:
			return nil, fmt.Errorf("deleting NodeEnforcer %s: %w", n.Name, err)
		}
	}
	if len(freed) > 0 {
		r.log.Info("Nodes are free of rules", "nodes", freed)
		r.events.Eventf(enforcer, nil, corev1.EventTypeNormal, "NodesFreed", "Free",
			"not selected any more, and proved free of rules: %s", few(freed, ", "))
	}
	return w.unlessNone(), nil
}

// leaving gives what the nodes' agents left that the nodeSelector does not select
// any more, by node. The nodeSelector alone decides: it says what people want. A
// taint says nothing about policies and may be gone soon, and to free a node is
// to open its pods. Of a node that is gone nobody can take anything.
func leaving(spec *v1alpha1.EnforcerSpec, c cluster, now time.Time) []v1alpha1.NodeEnforcer {
	return nodeEnforcersOn(c, func(node *corev1.Node) bool {
		return isLinux(node) && !isGone(node, now) && !selects(spec, node)
	})
}

// stranded gives the nodes that are selected and keep their rules, while a taint
// keeps their pod away: a line for each, which begins with its name.
func stranded(spec *v1alpha1.EnforcerSpec, c cluster, now time.Time) []string {
	occupied := occupiedNodes(c.pods)
	taints := map[string]string{}
	var out []string
	for _, n := range nodeEnforcersOn(c, func(node *corev1.Node) bool {
		taint := repelling(spec, node)
		if taint == nil || !isLinux(node) || isGone(node, now) || !selects(spec, node) || occupied[node.Name] != "" {
			return false
		}
		taints[node.Name] = taint.ToString()
		return true
	}) {
		out = append(out, fmt.Sprintf("%s: taint %s keeps its pod away, and its rules stay as they were", n.Name, taints[n.Name]))
	}
	return out
}

// nodeEnforcersOn gives the NodeEnforcers of nodes that are there and match, by
// name.
func nodeEnforcersOn(c cluster, matches func(*corev1.Node) bool) []v1alpha1.NodeEnforcer {
	matching := map[string]bool{}
	for i := range c.nodes {
		matching[c.nodes[i].Name] = matches(&c.nodes[i])
	}
	var out []v1alpha1.NodeEnforcer
	for i := range c.nodeEnforcers {
		if matching[c.nodeEnforcers[i].Name] {
			out = append(out, c.nodeEnforcers[i])
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.NodeEnforcer) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// occupiedNodes gives a pod on each node that has one, also one that is ending.
func occupiedNodes(pods []corev1.Pod) map[string]string {
	out := map[string]string{}
	for i := range pods {
		out[pods[i].Spec.NodeName] = pods[i].Name
	}
	return out
}

// annotationMadeFrom is on an uninstallation of some nodes, and sums up all of it
// but the nodes.
const annotationMadeFrom = "policy.sluice.dev/made-from"

// uninstallOn is uninstallOf on some nodes. Nodes come and go while others are at
// it, so a pod that is there is not replaced by the next list of nodes: the
// DaemonSet controller ends those on nodes that are not named.
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
	// A term may name one node only.
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

// removeOutdated deletes an uninstallation that differs from the wanted one in
// more than its nodes, such as the image: its pods are not replaced otherwise. It
// reports whether there is one; the event of its end comes.
func (r *enforcerReconciler) removeOutdated(ctx context.Context, wanted *unstructured.Unstructured) (bool, error) {
	live, err := r.owned.live(ctx, wanted)
	if err != nil || live == nil || live.GetAnnotations()[annotationMadeFrom] == wanted.GetAnnotations()[annotationMadeFrom] {
		return false, err
	}
	return true, r.removeDaemonSet(ctx, uninstallName)
}
