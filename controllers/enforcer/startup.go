package enforcer

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/startup"
)

// removeStartupTaints removes the startup taint from each node that enforces policies, if the
// spec enables this. It returns the nodes that keep the taint, or nil if there are none.
func (r *Reconciler) removeStartupTaints(ctx context.Context, spec *v1alpha1.EnforcerSpec, o observation) (*pending, error) {
	if !spec.StartupTaint {
		return nil, nil
	}
	p := &pending{what: "waiting to remove taint " + v1alpha1.TaintNotReady}
	reports := reportsByNode(o)
	var errs []error
	for i := range o.nodes {
		node := &o.nodes[i]
		if !startup.HasTaint(node) {
			continue
		}
		why := keepsTaint(spec, node, reports[node.Name])
		if why == "" {
			err := startup.RemoveTaint(ctx, r.client, node)
			if err == nil {
				r.log.Info("Removed the startup taint", "node", node.Name)
				continue
			}
			// After a conflict, the event of the other change causes the next attempt.
			why, errs = err.Error(), append(errs, ignoreOutdated(err))
		}
		p.nodes = append(p.nodes, node.Name+": "+why)
		if !isLinux(node) || !selects(spec, node) {
			p.faults = append(p.faults, node.Name+": "+why)
		}
	}
	return p.orNil(), errors.Join(errs...)
}

// keepsTaint returns why a node keeps the startup taint for now, or "" if the taint can be
// removed. The `report` parameter may be nil.
func keepsTaint(spec *v1alpha1.EnforcerSpec, node *corev1.Node, report *v1alpha1.NodeEnforcer) string {
	if !isLinux(node) || !selects(spec, node) {
		return "it has the startup taint, but no policy is enforced on it: remove the taint, or select the node in the Enforcer"
	}
	if taint := startup.RepellingTaint(spec, node); taint != nil {
		return fmt.Sprintf("taint %s keeps its pod away", taint.ToString())
	}
	return startup.NotStarted(node, report)
}
