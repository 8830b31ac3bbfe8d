package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// NodeGoneTime is how long a node must have been not ready before a deleted
// Enforcer does not wait for it any more. It is the time after which Kubernetes
// gives up the pods of such a node.
const NodeGoneTime = 5 * time.Minute

// uninstalling is how far an uninstallation is. Nothing of it is remembered but
// what the API server has, so that it goes on where it was after a restart:
//
//  1. The DaemonSet is deleted, and the nodes' pods end.
//  2. Another one runs `sluice dataplane --uninstall`; a pod of it that is ready
//     is the node's proof. Nodes with a NodeEnforcer need to give it.
//  3. The NodeEnforcers are deleted.
//  4. The second DaemonSet is deleted, and its pods end.
//  5. The rest is deleted, then the finalizer removed.
type uninstalling struct {
	*enforcerReconciler
	enforcer *v1alpha1.Enforcer
	// alive are nodes that can be waited for, gone all others that are known.
	alive, gone map[string]bool
}

// waiting is what an uninstallation waits for; nil when there is nothing.
type waiting struct {
	what string
	// nodes are lines that begin with the name of a node.
	nodes []string
	// faults are those of nodes where something goes wrong.
	faults []string
}

// uninstall takes the next steps of an uninstallation.
func (r *enforcerReconciler) uninstall(ctx context.Context, enforcer *v1alpha1.Enforcer) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(enforcer, v1alpha1.FinalizerUninstall) {
		return reconcile.Result{}, nil
	}
	u := &uninstalling{enforcerReconciler: r, enforcer: enforcer}
	if err := u.look(ctx); err != nil {
		return reconcile.Result{}, err
	}
	for _, step := range []func(context.Context) (*waiting, error){u.stop, u.prove, u.forget, u.end} {
		wait, err := step(ctx)
		if err == nil && wait == nil {
			continue
		}
		return reconcile.Result{RequeueAfter: statusPause}, errors.Join(err, unlessOutdated(u.report(ctx, wait, err)))
	}
	return reconcile.Result{}, unlessOutdated(u.release(ctx))
}

// look sorts the nodes.
func (u *uninstalling) look(ctx context.Context) error {
	var nodes corev1.NodeList
	if err := u.reader.List(ctx, &nodes); err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	u.alive, u.gone = map[string]bool{}, map[string]bool{}
	for i := range nodes.Items {
		if isGone(&nodes.Items[i], time.Now()) {
			u.gone[nodes.Items[i].Name] = true
		} else {
			u.alive[nodes.Items[i].Name] = true
		}
	}
	return nil
}

// isGone reports whether a node is not waited for. One without the condition
// has only just come.
func isGone(node *corev1.Node, now time.Time) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status != corev1.ConditionTrue && now.Sub(condition.LastTransitionTime.Time) > NodeGoneTime
		}
	}
	return false
}

// stop ends agents and dataplanes. A dataplane that runs would repair what is
// removed.
func (u *uninstalling) stop(ctx context.Context) (*waiting, error) {
	if err := u.removeDaemonSet(ctx, daemonSetName); err != nil {
		return nil, err
	}
	return u.waitForEnd(ctx, componentNode, "pods that enforce to end")
}

func (r *enforcerReconciler) removeDaemonSet(ctx context.Context, name string) error {
	object := object(daemonSetKind, r.namespace, name, nil, nil)
	live, err := r.owned.live(ctx, object)
	if err != nil || live == nil || live.GetDeletionTimestamp() != nil {
		return err
	}
	return r.owned.remove(ctx, object)
}

// waitForEnd waits for pods on nodes that are alive.
func (u *uninstalling) waitForEnd(ctx context.Context, component, what string) (*waiting, error) {
	pods, err := u.pods(ctx, component)
	if err != nil {
		return nil, err
	}
	w := &waiting{what: what}
	for i := range pods {
		if node := pods[i].Spec.NodeName; u.alive[node] {
			w.nodes = append(w.nodes, node+": "+pods[i].Name+" is there")
		}
	}
	return w.unlessNone(), nil
}

func (w *waiting) unlessNone() *waiting {
	if len(w.nodes) == 0 {
		return nil
	}
	slices.Sort(w.nodes)
	slices.Sort(w.faults)
	return w
}

func (r *enforcerReconciler) pods(ctx context.Context, component string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := r.reader.List(ctx, &pods, client.InNamespace(r.namespace), client.MatchingLabels(labelsOf(component))); err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	return pods.Items, nil
}

// prove waits until every node that enforced has proved that nothing is left.
func (u *uninstalling) prove(ctx context.Context) (*waiting, error) {
	nodes, err := u.enforced(ctx)
	if err != nil || len(nodes) == 0 {
		return nil, err
	}
	wanted, err := uninstallOf(u.enforcer, u.namespace, u.image)
	if err != nil {
		return nil, err
	}
	proofs, err := u.proofs(ctx, wanted)
	if err != nil {
		return nil, err
	}
	w := &waiting{what: "nodes to prove that nothing is left on them"}
	for _, node := range nodes {
		if u.alive[node] && !proofs.proved[node] {
			w.addUnproved(node, proofs)
		}
	}
	return w.unlessNone(), nil
}

// proofs are what the pods of an uninstallation say, by node.
type proofs struct {
	proved map[string]bool
	// endings say why a node's pod does not prove anything.
	endings map[string]string
}

// proofs runs an uninstallation and looks how far it is.
func (r *enforcerReconciler) proofs(ctx context.Context, wanted *unstructured.Unstructured) (proofs, error) {
	daemonSet, err := r.owned.apply(ctx, wanted)
	if err != nil {
		return proofs{}, err
	}
	pods, err := r.pods(ctx, componentUninstall)
	if err != nil {
		return proofs{}, err
	}
	p := proofs{proved: map[string]bool{}, endings: endings(pods)}
	for i := range pods {
		if metav1.IsControlledBy(&pods[i], daemonSet) && isReady(&pods[i]) {
			p.proved[pods[i].Spec.NodeName] = true
		}
	}
	return p, nil
}

// addUnproved adds a node that has proved nothing yet.
func (w *waiting) addUnproved(node string, p proofs) {
	if why := p.endings[node]; why != "" {
		w.faults = append(w.faults, node+": "+why)
	}
	w.nodes = append(w.nodes, node+": "+firstOf(p.endings[node], "no proof yet"))
}

func isReady(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// enforced gives the nodes that have a NodeEnforcer: an agent makes one before
// it publishes anything to enforce. The API server is asked, for a cache may
// still have those that were just deleted.
func (u *uninstalling) enforced(ctx context.Context) ([]string, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NodeEnforcerList"))
	if err := u.direct.List(ctx, list); err != nil {
		return nil, fmt.Errorf("listing NodeEnforcers: %w", err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, list.Items[i].Name)
	}
	return out, nil
}

// forget deletes the NodeEnforcers, whose agents have ended.
func (u *uninstalling) forget(ctx context.Context) (*waiting, error) {
	nodes, err := u.enforced(ctx)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, node := range nodes {
		if !u.alive[node] {
			left = append(left, node)
		}
		err := u.client.Delete(ctx, &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: node}})
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("deleting NodeEnforcer %s: %w", node, err)
		}
	}
	if len(left) > 0 {
		u.log.Info("Nodes that are gone did not prove that nothing is left on them", "nodes", left)
		u.events.Eventf(u.enforcer, nil, corev1.EventTypeWarning, "NodesLeft", "Uninstall",
			"not waited for, since they are gone: %s; run `sluice dataplane --uninstall` on them if they come back", few(left, ", "))
	}
	return nil, nil
}

// end removes what proved it, so that an Enforcer that comes next finds the
// nodes free.
func (u *uninstalling) end(ctx context.Context) (*waiting, error) {
	if err := u.removeDaemonSet(ctx, uninstallName); err != nil {
		return nil, err
	}
	return u.waitForEnd(ctx, componentUninstall, "pods that uninstalled to end")
}

// release deletes the rest and lets the Enforcer go.
func (u *uninstalling) release(ctx context.Context) error {
	objects, err := objectsOf(u.enforcer, u.namespace, u.image)
	if err != nil {
		return err
	}
	for _, object := range slices.Backward(objects) {
		if err := u.owned.remove(ctx, object); err != nil {
			return err
		}
	}
	if known, err := u.monitored(); err != nil {
		return err
	} else if known {
		if err := u.monitor.remove(ctx, serviceMonitor(u.namespace)); err != nil && !meta.IsNoMatchError(err) {
			return err
		}
	}
	u.monitors = time.Time{}
	before := u.enforcer.DeepCopy()
	controllerutil.RemoveFinalizer(u.enforcer, v1alpha1.FinalizerUninstall)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := u.client.Patch(ctx, u.enforcer, patch); err != nil {
		return fmt.Errorf("removing the finalizer of the Enforcer: %w", err)
	}
	u.log.Info("Uninstalled")
	return nil
}

// report says in the status what is waited for.
func (u *uninstalling) report(ctx context.Context, w *waiting, failed error) error {
	status := *u.enforcer.Status.DeepCopy()
	status.ObservedGeneration = u.enforcer.Generation
	status.Nodes = v1alpha1.NodeCounts{}
	text, fault := "", ""
	if w != nil {
		text = fmt.Sprintf("waiting for %s, on %d nodes: %s", w.what, len(w.nodes), few(w.nodes, "; "))
		fault = few(w.faults, "; ")
	}
	if failed != nil {
		text = shortened(strings.Join([]string{"the next step failed", failed.Error()}, ": "), maxMessage)
		fault = text
	}
	degraded := v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "uninstalling goes on")
	if fault != "" {
		degraded = v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, fault)
	}
	setConditions(u.enforcer, &status,
		v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonUninstalling, "the Enforcer is deleted: policies are not enforced any more"),
		v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, text),
		degraded)
	return u.write(ctx, u.enforcer, status)
}
