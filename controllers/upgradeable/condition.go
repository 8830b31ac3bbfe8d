package upgradeable

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/message"
	"github.com/sluicenet/sluice/internal/buildinfo"
)

// Type is the type of the condition that OLM reads.
const Type v1alpha1.ConditionType = "Upgradeable"

// Reasons of the condition, in addition to the reasons of the Enforcer's condition Progressing.
const (
	// ReasonNothingInstalled: no Enforcer exists, and no node has rules.
	ReasonNothingInstalled v1alpha1.Reason = "NothingInstalled"
	// ReasonOtherInstallation: the Enforcer belongs to another installation of Sluice.
	ReasonOtherInstallation v1alpha1.Reason = "OtherInstallation"
	// ReasonNodesNotClean: nodes may have rules, although no Enforcer exists.
	ReasonNodesNotClean v1alpha1.Reason = "NodesNotClean"
	// ReasonStatusOutdated: the status of the Enforcer does not describe the current spec, or an
	// operator of another version wrote it.
	ReasonStatusOutdated v1alpha1.Reason = "StatusOutdated"
)

// condition returns the condition Upgradeable.
func (r *Reconciler) condition(ctx context.Context) (metav1.Condition, error) {
	var enforcer v1alpha1.Enforcer
	err := r.reader.Get(ctx, types.NamespacedName{Name: v1alpha1.EnforcerName}, &enforcer)
	switch {
	case apierrors.IsNotFound(err):
		return r.withoutEnforcer(ctx)
	case err != nil:
		return metav1.Condition{}, fmt.Errorf("reading the Enforcer: %w", err)
	}
	if active, err := r.Active(ctx); err != nil {
		return metav1.Condition{}, err
	} else if !active {
		return upgradeable(ReasonOtherInstallation, "the Enforcer belongs to another installation of Sluice"), nil
	}
	return ofEnforcer(&enforcer), nil
}

// ofEnforcer returns the condition of an installation with an Enforcer. Nodes with the startup
// taint do not prevent an upgrade. A cluster that frequently adds nodes would otherwise never be
// upgradeable.
func ofEnforcer(enforcer *v1alpha1.Enforcer) metav1.Condition {
	progressing := meta.FindStatusCondition(enforcer.Status.Conditions, string(v1alpha1.ConditionProgressing))
	if progressing == nil || enforcer.Status.ObservedGeneration != enforcer.Generation ||
		enforcer.Status.OperatorVersion != buildinfo.Version() {
		return notUpgradeable(ReasonStatusOutdated, "the operator has not written the status of the current spec of the Enforcer yet")
	}
	reason := v1alpha1.Reason(progressing.Reason)
	if progressing.Status == metav1.ConditionTrue && reason != v1alpha1.ReasonNodesStarting {
		return notUpgradeable(reason, progressing.Message)
	}
	return upgradeable(reason, progressing.Message)
}

// withoutEnforcer returns the condition of an installation without an Enforcer. If a NodeEnforcer
// exists, its node may have rules, because the operator deletes the NodeEnforcer when a pod on the
// node has verified that no rules are left.
func (r *Reconciler) withoutEnforcer(ctx context.Context) (metav1.Condition, error) {
	var list v1alpha1.NodeEnforcerList
	if err := r.reader.List(ctx, &list); err != nil {
		return metav1.Condition{}, fmt.Errorf("listing NodeEnforcers: %w", err)
	}
	if len(list.Items) == 0 {
		return upgradeable(ReasonNothingInstalled, "no Enforcer exists, and no node has rules"), nil
	}
	names := make([]string, 0, len(list.Items))
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	slices.Sort(names)
	return notUpgradeable(ReasonNodesNotClean,
		fmt.Sprintf("no Enforcer exists, but %d nodes may have rules: %s", len(names), message.Join(names, ", "))), nil
}

func upgradeable(reason v1alpha1.Reason, text string) metav1.Condition {
	return v1alpha1.NewCondition(Type, metav1.ConditionTrue, reason, text)
}

func notUpgradeable(reason v1alpha1.Reason, text string) metav1.Condition {
	return v1alpha1.NewCondition(Type, metav1.ConditionFalse, reason, message.Truncate(text, message.Limit))
}
