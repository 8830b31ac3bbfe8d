package enforcer

import (
	"context"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/record"
	"github.com/sluicenet/sluice/controllers/message"
)

const (
	// abandonedReason is the reason in record.Left for nodes that the user has abandoned.
	abandonedReason = "abandoned with the annotation " + v1alpha1.AnnotationAbandon
	// howToAbandon is advice for a user who wants to give up nodes from which Sluice
	// cannot be uninstalled.
	howToAbandon = "to give up nodes that cannot be repaired: kubectl annotate --overwrite enforcer " + v1alpha1.EnforcerName +
		" " + v1alpha1.AnnotationAbandon + "=NODE,NODE"
)

// unknownNames returns the names in AnnotationAbandon that are not names of nodes. A name is the
// name of a node if exists(name) is true, or if the list record.Left contains the name.
func (r *Reconciler) unknownNames(ctx context.Context, enforcer *v1alpha1.Enforcer, exists func(string) bool) ([]string, error) {
	unknown := slices.DeleteFunc(record.Abandoned(enforcer), exists)
	if len(unknown) == 0 {
		return nil, nil
	}
	left, err := r.left().Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(unknown, func(name string) bool { return left[name] != "" }), nil
}

// unknownFaults returns a line that reports the names from unknownNames, or nil if there are none.
func unknownFaults(unknown []string) []string {
	if len(unknown) == 0 {
		return nil
	}
	return []string{"the annotation " + v1alpha1.AnnotationAbandon + " names nodes that do not exist: " + message.Join(unknown, ", ")}
}

// recordLeft adds each node in `reasons` to the list record.Left, with the node's reason, and
// creates a Warning event that names these nodes. It removes the nodes in `proved` from the list,
// because these nodes have proved that nothing is left on them.
func (r *Reconciler) recordLeft(ctx context.Context, enforcer *v1alpha1.Enforcer, reasons map[string]string, proved []string) error {
	if err := r.left().Change(ctx, reasons, proved); err != nil {
		return err
	}
	if len(reasons) == 0 {
		return nil
	}
	nodes := slices.Sorted(maps.Keys(reasons))
	r.log.Info("Nodes did not prove that nothing is left on them", "nodes", nodes)
	text := "did not remove the rules from these nodes: " + strings.Join(nodes, ", ")
	const more = "; see ConfigMap " + record.LeftName
	r.events.Eventf(enforcer, nil, corev1.EventTypeWarning, "NodesLeft", "Uninstall", "%s%s", message.Truncate(text, message.Limit-len(more)), more)
	return nil
}
