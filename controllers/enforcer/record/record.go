// Package record maintains the records of nodes that have rules of Sluice.
//
// A NodeEnforcer serves as the record that its node can have rules. The agent creates the
// NodeEnforcer before its first publication. A finalizer keeps a deleted NodeEnforcer in the API
// server until the operator removes the finalizer (see Release). The record therefore survives the
// deletion of all objects of Sluice, the deletion of the definition of the kind, and the garbage
// collection after the deletion of a Node. The status of the Enforcer could not replace these
// records: with thousands of nodes, each change of the status would write all names again.
//
// A ConfigMap lists the nodes that can still have rules although the operator has released their
// NodeEnforcers. It outlives the Enforcer.
package record

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers,verbs=patch;delete

// Protect adds the finalizer to a NodeEnforcer. Agents create NodeEnforcers with the finalizer, so
// this is only necessary if another client has removed it, or if an earlier version of the agent
// created the NodeEnforcer. The API server rejects the request if the NodeEnforcer is being
// deleted.
func Protect(ctx context.Context, c client.Writer, n *v1alpha1.NodeEnforcer) error {
	next := n.DeepCopy()
	if !controllerutil.AddFinalizer(next, v1alpha1.FinalizerUninstall) {
		return nil
	}
	if err := c.Patch(ctx, next, client.MergeFromWithOptions(n, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("adding the finalizer to NodeEnforcer %s: %w", n.Name, err)
	}
	return nil
}

// Release deletes a NodeEnforcer and removes its finalizer. The deletion comes first: otherwise,
// if the operator stopped between the two requests, the next operator would add the finalizer
// again. Release does nothing if the NodeEnforcer does not exist, or if another NodeEnforcer has
// replaced it under the same name.
func Release(ctx context.Context, c client.Writer, n client.Object) error {
	target := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: n.GetName()}}
	uid := n.GetUID()
	if n.GetDeletionTimestamp().IsZero() {
		err := c.Delete(ctx, target, client.Preconditions{UID: &uid})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting NodeEnforcer %s: %w", n.GetName(), err)
		}
	}
	others := slices.DeleteFunc(slices.Clone(n.GetFinalizers()), func(f string) bool { return f == v1alpha1.FinalizerUninstall })
	if len(others) == len(n.GetFinalizers()) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": uid, "finalizers": others}})
	if err != nil {
		return fmt.Errorf("releasing NodeEnforcer %s: %w", n.GetName(), err)
	}
	err = client.IgnoreNotFound(c.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)))
	if err != nil {
		return fmt.Errorf("releasing NodeEnforcer %s: %w", n.GetName(), err)
	}
	return nil
}
