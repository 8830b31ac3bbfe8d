package liveness

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/register"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=sluice-system,resources=leases,verbs=list;watch
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers/status,verbs=update

const (
	// checkInterval is the time between two checks for agents that have become silent.
	checkInterval = 5 * time.Second
	// listTimeout limits the time for listing the Leases.
	listTimeout = 5 * time.Second
	// retryInterval is the time between a conflict and the next attempt to write.
	retryInterval = 100 * time.Millisecond
)

// Options configures the controller.
type Options struct {
	// Namespace is the namespace of the operator and of the Leases.
	Namespace string
	// Timeout is the time after which an agent counts as silent if it has not renewed its Lease.
	// The default is v1alpha1.HeartbeatTimeout.
	Timeout time.Duration
	// Active reports whether the controller may write. nil means always.
	Active func(context.Context) (bool, error)
	Log    logr.Logger
}

// CachedObjects returns the options of the caches that the controller reads, except the cache
// of NodeEnforcers.
func CachedObjects(namespace string) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&coordinationv1.Lease{}: {
			Namespaces: map[string]cache.Config{namespace: {}},
			Transform:  cache.TransformStripManagedFields(),
		},
	}
}

// Reconciler maintains the condition Responding of all NodeEnforcers.
type Reconciler struct {
	Options
	// The `reader` field reads from the caches. The `direct` field reads from the API server.
	reader, direct client.Reader
	client         client.Client
	leases         *leases
}

// SetupWithManager adds the controller to a manager. The caches of the manager must be created
// with the options of CachedObjects.
func SetupWithManager(mgr manager.Manager, o Options) error {
	if o.Timeout == 0 {
		o.Timeout = v1alpha1.HeartbeatTimeout
	}
	r := &Reconciler{Options: o, reader: mgr.GetCache(), direct: mgr.GetAPIReader(), client: mgr.GetClient(), leases: newLeases(o.Timeout)}
	return register.Controller(mgr, "liveness", controller.Options{Reconciler: r}, r.sources(mgr.GetCache()))
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

func (r *Reconciler) sources(c cache.Cache) []source.Source {
	enqueue := func(q queue, node string) { q.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: node}}) }
	observe := func(lease *coordinationv1.Lease, initial bool, q queue) {
		if node, ok := nodeOf(lease); ok && r.leases.observe(node, contentOf(lease), initial, time.Now()) {
			enqueue(q, node)
		}
	}
	expect := func(n *v1alpha1.NodeEnforcer, q queue) {
		r.leases.add(n.Name, time.Now())
		enqueue(q, n.Name)
	}
	return []source.Source{
		source.Kind(c, &coordinationv1.Lease{}, handler.TypedFuncs[*coordinationv1.Lease, reconcile.Request]{
			CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*coordinationv1.Lease], q queue) {
				observe(e.Object, e.IsInInitialList, q)
			},
			UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*coordinationv1.Lease], q queue) {
				observe(e.ObjectNew, false, q)
			},
		}),
		source.Kind(c, &v1alpha1.NodeEnforcer{}, handler.TypedFuncs[*v1alpha1.NodeEnforcer, reconcile.Request]{
			CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*v1alpha1.NodeEnforcer], q queue) {
				expect(e.Object, q)
			},
			UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*v1alpha1.NodeEnforcer], q queue) {
				expect(e.ObjectNew, q)
			},
			DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1alpha1.NodeEnforcer], _ queue) {
				r.leases.forget(e.Object.Name)
			},
		}),
		source.Func(func(ctx context.Context, q queue) error {
			go r.watchSilence(ctx, c, func(node string) { enqueue(q, node) })
			return nil
		}),
	}
}

// nodeOf returns the name of the node whose agent renews a Lease. The second result is false if the
// Lease is for another purpose.
func nodeOf(lease *coordinationv1.Lease) (string, bool) {
	return strings.CutPrefix(lease.Name, v1alpha1.HeartbeatLease(""))
}

// contentOf returns a text that changes when the agent renews its Lease.
func contentOf(lease *coordinationv1.Lease) string {
	return ptr.Deref(lease.Spec.HolderIdentity, "") + " " + ptr.Deref(lease.Spec.RenewTime, metav1.MicroTime{}).Format(metav1.RFC3339Micro)
}

// watchSilence calls the function `silent` for each node whose agent becomes silent, until the
// context ends.
func (r *Reconciler) watchSilence(ctx context.Context, c cache.Cache, silent func(node string)) {
	if !c.WaitForCacheSync(ctx) {
		return
	}
	tick := time.NewTicker(min(checkInterval, r.Timeout/4))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if r.leases.suspicious(time.Now()) {
			r.list(ctx, silent)
		}
		for _, node := range r.leases.expire(time.Now()) {
			r.Log.Info("The agent does not renew its Lease", "node", node, "since", r.Timeout.String())
			silent(node)
		}
	}
}

// list reads the Leases from the API server, and calls the function `changed` for each node whose
// agent responds again. The cache does not suffice here: if the API server cannot be reached, the
// cache contains old Leases, although the agents may still run.
func (r *Reconciler) list(ctx context.Context, changed func(node string)) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var list coordinationv1.LeaseList
	if err := r.direct.List(ctx, &list, client.InNamespace(r.Namespace)); err != nil {
		r.leases.setUnreachable(time.Now())
		r.Log.V(1).Info("Leases cannot be listed", "reason", err.Error())
		return
	}
	for i := range list.Items {
		lease := &list.Items[i]
		if node, ok := nodeOf(lease); ok && r.leases.observe(node, contentOf(lease), false, time.Now()) {
			changed(node)
		}
	}
}

// Reconcile writes the condition Responding of one NodeEnforcer if the condition has changed.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var found v1alpha1.NodeEnforcer
	if err := r.reader.Get(ctx, request.NamespacedName, &found); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	condition, ok := conditionOf(r.leases.responding(request.Name))
	if !ok {
		return reconcile.Result{}, nil
	}
	if r.Active != nil {
		if active, err := r.Active(ctx); err != nil || !active {
			return reconcile.Result{}, err
		}
	}
	next := found.DeepCopy()
	meta.SetStatusCondition(&next.Status.Conditions, condition)
	if equality.Semantic.DeepEqual(found.Status.Conditions, next.Status.Conditions) {
		return reconcile.Result{}, nil
	}
	err := r.client.Status().Update(ctx, next)
	switch {
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	case err != nil && !apierrors.IsNotFound(err):
		return reconcile.Result{}, fmt.Errorf("writing NodeEnforcer %s: %w", request.Name, err)
	}
	return reconcile.Result{}, nil
}

// conditionOf returns the condition Responding. The second result is false while it is unknown
// whether the agent responds. The condition in the NodeEnforcer then stays unchanged.
func conditionOf(responding metav1.ConditionStatus) (metav1.Condition, bool) {
	switch responding {
	case metav1.ConditionTrue:
		return v1alpha1.NewCondition(v1alpha1.ConditionResponding, metav1.ConditionTrue, v1alpha1.ReasonAgentResponding,
			"the agent renews its Lease"), true
	case metav1.ConditionFalse:
		return v1alpha1.NewCondition(v1alpha1.ConditionResponding, metav1.ConditionFalse, v1alpha1.ReasonAgentSilent,
			"the agent has not renewed its Lease for "+v1alpha1.HeartbeatTimeout.String()+
				": it does not run, or it cannot reach the API server"), true
	}
	return metav1.Condition{}, false
}
