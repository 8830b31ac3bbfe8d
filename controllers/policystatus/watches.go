package policystatus

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/clusterpolicy"
	"github.com/sluicenet/sluice/controllers/policystatus/cluster"
	"github.com/sluicenet/sluice/controllers/reduce"
)

const (
	// settleDelay is the delay before the controller reconciles a policy after a selected pod
	// has changed, or after a node no longer enforces the policy. One write of the status then
	// usually covers several changes, including the new reports of the nodes.
	settleDelay = 1500 * time.Millisecond
	// progressDelay replaces settleDelay if one more node enforces a policy while other nodes
	// do not enforce it yet. Because of this delay, a change of a policy for 1,000 nodes does
	// not cause 1,000 writes.
	progressDelay = 3 * time.Second
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// CachedObjects returns the options of the caches that the reconciler reads. The caches
// keep only the parts of objects from which a PolicyStatus is computed.
func CachedObjects() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:                   reduce.With(reduce.Pod),
		&corev1.Namespace{}:             reduce.With(reduce.Namespace),
		&networkingv1.NetworkPolicy{}:   reduce.With(reduce.Policy),
		&v1alpha1.NodeEnforcer{}:        {Transform: cache.TransformStripManagedFields()},
		&v1alpha1.PolicyStatus{}:        reduce.With(compactStatus),
		&v1alpha1.ClusterPolicyStatus{}: reduce.With(compactClusterStatus),
		clusterpolicy.NewDefinition():   clusterpolicy.CachedDefinition(),
	}
}

// sources returns the watches of all objects that affect a PolicyStatus. The controller starts
// its workers after the handlers have received all existing objects.
func (r *Reconciler) sources(c cache.Cache) []source.Source {
	return []source.Source{
		source.Kind(c, client.Object(&networkingv1.NetworkPolicy{}), r.policyEvents()),
		source.Kind(c, client.Object(&corev1.Pod{}), r.podEvents()),
		source.Kind(c, client.Object(&corev1.Namespace{}), r.namespaceEvents()),
		source.Kind(c, &v1alpha1.NodeEnforcer{}, r.nodeEvents()),
		// These watches repair a status object that another client changed or deleted.
		source.Kind(c, &v1alpha1.PolicyStatus{}, &handler.TypedEnqueueRequestForObject[*v1alpha1.PolicyStatus]{}),
		source.Kind(c, &v1alpha1.ClusterPolicyStatus{}, &handler.TypedEnqueueRequestForObject[*v1alpha1.ClusterPolicyStatus]{}),
		source.Kind(c, client.Object(clusterpolicy.NewDefinition()), r.tiers.definitionEvents()),
		source.Func(func(ctx context.Context, q queue) error {
			go r.tiers.run(ctx, q)
			return nil
		}),
		source.Func(func(ctx context.Context, q queue) error {
			go r.watchFindings(ctx, q)
			return nil
		}),
	}
}

func (r *Reconciler) nodeEvents() handler.TypedFuncs[*v1alpha1.NodeEnforcer, reconcile.Request] {
	changed := func(n *v1alpha1.NodeEnforcer, q queue) {
		enqueueTransitions(q, r.index.SetReport(n.Name, cluster.ReportOf(n)))
	}
	return handler.TypedFuncs[*v1alpha1.NodeEnforcer, reconcile.Request]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*v1alpha1.NodeEnforcer], q queue) {
			changed(e.Object, q)
		},
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*v1alpha1.NodeEnforcer], q queue) {
			changed(e.ObjectNew, q)
		},
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1alpha1.NodeEnforcer], q queue) {
			enqueueTransitions(q, r.index.RemoveReport(e.Object.Name))
		},
	}
}

// watchFindings queues each policy whose findings changed, until the context ends.
func (r *Reconciler) watchFindings(ctx context.Context, q queue) {
	select {
	case <-ctx.Done():
	case <-r.filled:
		r.findings.Run(ctx, func(names []types.NamespacedName) { enqueue(q, names, 0) })
	}
}

func enqueueTransitions(q queue, t cluster.Transitions) {
	enqueue(q, t.Complete, 0)
	enqueue(q, t.Closer, progressDelay)
	enqueue(q, t.Further, settleDelay)
}

// enqueue adds policies to the queue after a delay.
func enqueue(q queue, names []types.NamespacedName, delay time.Duration) {
	for _, name := range names {
		q.AddAfter(reconcile.Request{NamespacedName: name}, delay)
	}
}
