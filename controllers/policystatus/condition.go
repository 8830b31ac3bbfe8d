package policystatus

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/clusterpolicy"
	"github.com/sluicenet/sluice/controllers/message"
	"github.com/sluicenet/sluice/controllers/policystatus/cluster"
)

// fieldOwner is the field manager of the condition.
const fieldOwner = client.FieldOwner("sluice-operator")

// setCondition writes the condition of a ClusterNetworkPolicy if the condition has changed.
// Server-side apply merges the conditions of a policy by their types, so the conditions of other
// programs stay unchanged.
func (r *Reconciler) setCondition(ctx context.Context, seen *cluster.Observation) error {
	p := seen.Policy
	held := r.tiers.condition(p.Name)
	next := conditionOf(&observation{Observation: seen}, held, metav1.Time{Time: time.Now().Truncate(time.Second)})
	if sameCondition(held, &next) {
		return nil
	}
	value, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&next)
	if err != nil {
		return fmt.Errorf("encoding a condition: %w", err)
	}
	object := clusterpolicy.NewObject(r.tiers.served.Version())
	object.SetName(p.Name)
	object.SetUID(types.UID(p.UID))
	object.Object["status"] = map[string]any{"conditions": []any{value}}
	err = r.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), fieldOwner, client.ForceOwnership)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		// The policy was deleted, and the operator has not received the deletion event yet.
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the condition of ClusterNetworkPolicy %s: %w", p.Name, err)
	}
	return nil
}

// conditionOf returns the condition for a ClusterNetworkPolicy. If the status of the current
// condition stays the same, conditionOf keeps the time of its last transition.
func conditionOf(o *observation, held *metav1.Condition, now metav1.Time) metav1.Condition {
	enforced := o.enforced()
	out := v1alpha1.NewCondition(v1alpha1.ConditionPolicyEnforced, enforced.Status, v1alpha1.Reason(enforced.Reason), enforced.Message)
	if errors := o.Policy.Errors; len(errors) > 0 {
		texts := make([]string, len(errors))
		for i, e := range errors {
			texts[i] = e.Error()
		}
		out.Status, out.Reason = metav1.ConditionFalse, string(v1alpha1.ReasonNotUnderstood)
		out.Message = enforced.Message + "; " + message.Join(texts, "; ")
	}
	out.Message = message.Truncate(out.Message, message.Limit)
	out.ObservedGeneration, out.LastTransitionTime = o.Policy.Generation, now
	if held != nil && held.Status == out.Status {
		out.LastTransitionTime = held.LastTransitionTime
	}
	return out
}

// conditionIn returns the condition that a ClusterNetworkPolicy has, or nil.
func conditionIn(in *unstructured.Unstructured) *metav1.Condition {
	conditions, _, _ := unstructured.NestedSlice(in.Object, "status", "conditions")
	for _, c := range conditions {
		c, ok := c.(map[string]any)
		if !ok || c["type"] != string(v1alpha1.ConditionPolicyEnforced) {
			continue
		}
		out := &metav1.Condition{}
		if runtime.DefaultUnstructuredConverter.FromUnstructured(c, out) == nil {
			return out
		}
	}
	return nil
}

// sameCondition reports whether two conditions are equal. A condition can be nil.
func sameCondition(a, b *metav1.Condition) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message &&
		a.ObservedGeneration == b.ObservedGeneration && a.LastTransitionTime.Equal(&b.LastTransitionTime)
}
