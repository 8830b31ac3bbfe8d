package enforcer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/controllers/enforcer/record"
)

// maxProtected is the maximum number of NodeEnforcers that one reconciliation protects. Each write
// causes an event and thereby the next reconciliation, which protects more NodeEnforcers.
const maxProtected = 50

// left returns the list of nodes whose NodeEnforcers were released without a proof.
func (r *Reconciler) left() *record.Left {
	return &record.Left{Reader: r.direct, Client: r.client, Namespace: r.namespace, FieldOwner: desired.FieldOwner}
}

// maintainRecords protects the NodeEnforcers of existing nodes from deletion. It releases deleted
// NodeEnforcers of nodes that have neither a Node object nor a pod. If such a node returns, it gets
// a new pod, and the agent in this pod creates a new NodeEnforcer. A deleted NodeEnforcer of an
// existing node stays until the rules are removed from the node. Until then, the agent of the node
// continues to write it.
func (r *Reconciler) maintainRecords(ctx context.Context, o observation) error {
	occupied, exist := occupiedNodes(o.pods), map[string]bool{}
	for i := range o.nodes {
		exist[o.nodes[i].Name] = true
	}
	var errs []error
	protected := 0
	for i := range o.nodeEnforcers {
		n := &o.nodeEnforcers[i]
		deleted := !n.DeletionTimestamp.IsZero()
		switch {
		case deleted && !exist[n.Name] && occupied[n.Name] == "":
			errs = append(errs, ignoreOutdated(record.Release(ctx, r.client, n)))
		case !deleted && exist[n.Name] && protected < maxProtected && !slices.Contains(n.Finalizers, v1alpha1.FinalizerUninstall):
			errs = append(errs, ignoreOutdated(record.Protect(ctx, r.client, n)))
			protected++
		}
	}
	return errors.Join(errs...)
}

// guardInstallation applies the objects that prevent the deletion of the operator's namespace and
// of the definitions of Sluice's kinds. No cache contains these objects, so the operator checks
// them once a minute.
func (r *Reconciler) guardInstallation(ctx context.Context, enforcer *v1alpha1.Enforcer) error {
	if time.Since(r.guarded) < monitorInterval {
		return nil
	}
	objects, err := rbac.Installation(r.namespace)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if _, err := r.monitor.Apply(ctx, desired.WithOwner(enforcer, object)); err != nil {
			return err
		}
	}
	r.guarded = time.Now()
	return nil
}
