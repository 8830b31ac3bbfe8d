package enforcer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/controllers/enforcer/freeing"
	"github.com/sluicenet/sluice/controllers/enforcer/record"
	"github.com/sluicenet/sluice/controllers/message"
)

// NodeGoneTime is the time after which the uninstallation no longer waits for a node that is
// not ready. Kubernetes evicts the pods of such a node after the same time.
const NodeGoneTime = 5 * time.Minute

// defaultFreeAfter is the default of spec.freeAfter.
const defaultFreeAfter = time.Minute

// uninstallation performs one pass over the steps of an uninstallation. The API server
// stores all state, so an operator that restarts continues with the same step.
//
//  1. The DaemonSets are deleted, and the enforcing pods end.
//  2. Another DaemonSet runs `sluice dataplane --uninstall`. A ready pod of this DaemonSet proves
//     that nothing is left on the node of the pod. Each node with a NodeEnforcer needs this proof.
//  3. The NodeEnforcers are deleted. Nodes without a proof are added to the list record.Left.
//  4. The last DaemonSet is deleted, and its pods end.
//  5. The other objects are deleted, then the finalizer is removed.
//
// The uninstallation waits neither for nodes that are gone nor for nodes that the user abandons
// with AnnotationAbandon. Otherwise, a node that never provides a proof would block the deletion
// of the Enforcer forever.
type uninstallation struct {
	*Reconciler
	enforcer *v1alpha1.Enforcer
	// The `exist` field contains all nodes with a Node object. The `awaited` field contains the
	// nodes that the uninstallation waits for. For each other node with a Node object, the
	// `reasons` field contains why the uninstallation does not wait for it.
	exist   map[string]bool
	awaited map[string]bool
	reasons map[string]string
	// records contains the metadata of the NodeEnforcers.
	records []metav1.PartialObjectMetadata
	// unknown contains the names in AnnotationAbandon that are not names of nodes.
	unknown []string
}

// uninstall performs the next steps of an uninstallation.
func (r *Reconciler) uninstall(ctx context.Context, enforcer *v1alpha1.Enforcer) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(enforcer, v1alpha1.FinalizerUninstall) {
		return reconcile.Result{}, nil
	}
	u := &uninstallation{Reconciler: r, enforcer: enforcer}
	if err := errors.Join(u.listNodes(ctx), u.listRecords(ctx)); err != nil {
		return reconcile.Result{}, err
	}
	unknown, err := r.unknownNames(ctx, enforcer, u.hasNode)
	if err != nil {
		return reconcile.Result{}, err
	}
	u.unknown = unknown
	for _, step := range []func(context.Context) (*pending, error){u.stopPods, u.waitForProofs, u.releaseRecords, u.stopUninstallPods} {
		wait, err := step(ctx)
		if err == nil && wait == nil {
			continue
		}
		return reconcile.Result{RequeueAfter: batchDelay}, errors.Join(ignoreOutdated(err), ignoreOutdated(u.report(ctx, wait, err)))
	}
	return reconcile.Result{}, ignoreOutdated(u.finish(ctx))
}

// listNodes sets the fields `exist`, `awaited` and `reasons`.
func (u *uninstallation) listNodes(ctx context.Context) error {
	var nodes corev1.NodeList
	if err := u.reader.List(ctx, &nodes); err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	u.exist, u.awaited, u.reasons = map[string]bool{}, map[string]bool{}, map[string]string{}
	for i := range nodes.Items {
		name := nodes.Items[i].Name
		u.exist[name] = true
		if isGone(&nodes.Items[i], time.Now()) {
			u.reasons[name] = fmt.Sprintf("the node was not ready for more than %s", NodeGoneTime)
		} else {
			u.awaited[name] = true
		}
	}
	for _, node := range record.Abandoned(u.enforcer) {
		delete(u.awaited, node)
		u.reasons[node] = abandonedReason
	}
	return nil
}

// listRecords sets the `records` field. It reads from the API server, because a cache may still
// contain deleted objects.
func (u *uninstallation) listRecords(ctx context.Context) error {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NodeEnforcerList"))
	if err := u.direct.List(ctx, list); err != nil {
		return fmt.Errorf("listing NodeEnforcers: %w", err)
	}
	u.records = list.Items
	return nil
}

// hasNode reports whether a node with the given name exists or has a NodeEnforcer.
func (u *uninstallation) hasNode(name string) bool {
	return u.exist[name] || slices.ContainsFunc(u.records, func(n metav1.PartialObjectMetadata) bool {
		return n.Name == name
	})
}

// isGone reports whether a node has not been ready for longer than NodeGoneTime. A node without
// the condition Ready is new, so it is not gone.
func isGone(node *corev1.Node, now time.Time) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status != corev1.ConditionTrue && now.Sub(condition.LastTransitionTime.Time) > NodeGoneTime
		}
	}
	return false
}

// stopPods stops the enforcing pods, because a running dataplane would repair the rules.
func (u *uninstallation) stopPods(ctx context.Context) (*pending, error) {
	err := errors.Join(u.removeDaemonSet(ctx, desired.DaemonSetName), u.removeDaemonSet(ctx, desired.LeavingName))
	if err != nil {
		return nil, err
	}
	return u.waitForEnd(ctx, desired.ComponentNode, "the enforcing pods to end")
}

func (r *Reconciler) removeDaemonSet(ctx context.Context, name string) error {
	object := desired.Object(desired.DaemonSetKind, r.namespace, name, nil, nil)
	live, err := r.owned.Live(ctx, object)
	if err != nil || live == nil || live.GetDeletionTimestamp() != nil {
		return err
	}
	return r.owned.Remove(ctx, object)
}

// waitForEnd returns the awaited nodes that still have a pod of the component.
func (u *uninstallation) waitForEnd(ctx context.Context, component, what string) (*pending, error) {
	pods, err := u.pods(ctx, component)
	if err != nil {
		return nil, err
	}
	p := &pending{what: what}
	for i := range pods {
		if node := pods[i].Spec.NodeName; u.awaited[node] {
			p.nodes = append(p.nodes, node+": "+pods[i].Name+" still exists")
		}
	}
	return p.orNil(), nil
}

func (r *Reconciler) pods(ctx context.Context, component string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := r.reader.List(ctx, &pods, client.InNamespace(r.namespace), client.MatchingLabels(desired.Labels(component))); err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	return pods.Items, nil
}

// waitForProofs returns the awaited nodes that have a NodeEnforcer but have not proved that nothing
// is left on them. It lists the NodeEnforcers again, because an agent could have created one just
// before the agent ended.
func (u *uninstallation) waitForProofs(ctx context.Context) (*pending, error) {
	if err := u.listRecords(ctx); err != nil || len(u.records) == 0 {
		return nil, err
	}
	wanted, err := desired.UninstallDaemonSet(u.enforcer, u.namespace, u.image)
	if err != nil {
		return nil, err
	}
	proofs, err := u.proofs(ctx, wanted)
	if err != nil {
		return nil, err
	}
	p := &pending{what: "nodes to prove that nothing is left on them"}
	for i := range u.records {
		if node := u.records[i].Name; u.awaited[node] && !proofs.proved[node] {
			p.addUnproved(node, proofs)
		}
	}
	return p.orNil(), nil
}

// releaseRecords adds the nodes without a proof to the list record.Left, and then releases the
// NodeEnforcers. It must be called after the agents have ended, because a running agent would
// create its NodeEnforcer again.
func (u *uninstallation) releaseRecords(ctx context.Context) (*pending, error) {
	left := map[string]string{}
	var proved []string
	for i := range u.records {
		node := u.records[i].Name
		if u.awaited[node] {
			proved = append(proved, node)
		} else {
			left[node] = cmp.Or(u.reasons[node], "the Node did not exist")
		}
	}
	if err := u.recordLeft(ctx, u.enforcer, left, proved); err != nil {
		return nil, err
	}
	for i := range u.records {
		if err := record.Release(ctx, u.client, &u.records[i]); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// stopUninstallPods ends the uninstall pods.
func (u *uninstallation) stopUninstallPods(ctx context.Context) (*pending, error) {
	if err := u.removeDaemonSet(ctx, desired.UninstallName); err != nil {
		return nil, err
	}
	return u.waitForEnd(ctx, desired.ComponentUninstall, "the uninstalling pods to end")
}

// finish deletes the remaining objects and removes the finalizer of the Enforcer.
func (u *uninstallation) finish(ctx context.Context) error {
	objects, err := desired.Objects(u.enforcer, u.namespace, u.image, desired.Nodes{})
	if err != nil {
		return err
	}
	guards, err := rbac.Installation(u.namespace)
	if err != nil {
		return err
	}
	for _, object := range slices.Backward(append(guards, objects...)) {
		if err := u.owned.Remove(ctx, object); err != nil {
			return err
		}
	}
	if exists, err := u.serviceMonitorsExist(); err != nil {
		return err
	} else if exists {
		if err := u.monitor.Remove(ctx, desired.ServiceMonitor(u.enforcer, u.namespace)); err != nil && !meta.IsNoMatchError(err) {
			return err
		}
	}
	u.monitors, u.guarded, u.schedule = time.Time{}, time.Time{}, freeing.Schedule{}
	before := u.enforcer.DeepCopy()
	controllerutil.RemoveFinalizer(u.enforcer, v1alpha1.FinalizerUninstall)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := u.client.Patch(ctx, u.enforcer, patch); err != nil {
		return fmt.Errorf("removing the finalizer of the Enforcer: %w", err)
	}
	u.log.Info("Uninstalled")
	return nil
}

// report writes the state of the uninstallation to the status: the nodes that it waits for, or
// the error of its last step.
func (u *uninstallation) report(ctx context.Context, p *pending, failed error) error {
	status := *u.enforcer.Status.DeepCopy()
	status.ObservedGeneration = u.enforcer.Generation
	status.Nodes = v1alpha1.NodeCounts{}
	text, fault := "", ""
	if p != nil {
		text = fmt.Sprintf("waiting for %s, on %d nodes: %s; %s", p.what, len(p.nodes), message.Join(p.nodes, "; "), howToAbandon)
		fault = message.Join(append(unknownFaults(u.unknown), p.faults...), "; ")
	}
	if failed != nil {
		text = message.Truncate(strings.Join([]string{"the next step failed", failed.Error()}, ": "), message.Limit)
		fault = text
	}
	degraded := v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "the uninstallation makes progress")
	if fault != "" {
		degraded = v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, fault+"; "+howToAbandon)
	}
	setConditions(u.enforcer, &status,
		v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionFalse, v1alpha1.ReasonUninstalling, "the Enforcer is deleted: policies are no longer enforced"),
		v1alpha1.NewCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, text),
		degraded)
	return u.write(ctx, u.enforcer, status)
}
