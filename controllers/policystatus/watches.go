package policystatus

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/reduce"
	"github.com/sluicenet/sluice/policy"
)

const (
	// settleDelay is the time between an event and the reconciliation of a policy if pods of
	// the policy changed, or if some nodes are behind or do not respond. Agents usually report
	// what they enforce within one second, so one status after the delay usually covers all
	// changes.
	settleDelay = 1500 * time.Millisecond
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// CachedObjects returns the options of the caches that the reconciler reads. The caches
// keep only the parts of objects from which a PolicyStatus is computed.
func CachedObjects() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:                 reduce.With(reduce.Pod),
		&corev1.Namespace{}:           reduce.With(reduce.Namespace),
		&networkingv1.NetworkPolicy{}: reduce.With(reduce.NetworkPolicy),
		&v1alpha1.NodeEnforcer{}:      {Transform: cache.TransformStripManagedFields()},
		&v1alpha1.PolicyStatus{}:      {Transform: cache.TransformStripManagedFields()},
	}
}

// sources returns the watches of all objects that affect a PolicyStatus.
func (r *Reconciler) sources(c cache.Cache) []source.Source {
	return []source.Source{
		source.Kind(c, &networkingv1.NetworkPolicy{}, r.policyEvents()),
		source.Kind(c, &corev1.Pod{}, r.podEvents()),
		source.Kind(c, &corev1.Namespace{}, r.namespaceEvents()),
		source.Kind(c, &v1alpha1.NodeEnforcer{}, r.nodeEvents()),
		// This watch repairs a PolicyStatus that another client changed or deleted.
		source.Kind(c, &v1alpha1.PolicyStatus{}, &handler.TypedEnqueueRequestForObject[*v1alpha1.PolicyStatus]{}),
		source.Func(func(ctx context.Context, q queue) error {
			r.started = time.Now()
			go r.watchFindings(ctx, c, q)
			return nil
		}),
	}
}

func (r *Reconciler) podEvents() handler.TypedFuncs[*corev1.Pod, reconcile.Request] {
	return handler.TypedFuncs[*corev1.Pod, reconcile.Request]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*corev1.Pod], q queue) {
			if !e.IsInInitialList {
				r.podChanged(q, readPod(e.Object))
			}
		},
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*corev1.Pod], q queue) {
			before, after := readPod(e.ObjectOld), readPod(e.ObjectNew)
			if r.policies.equivalent(before, after) {
				r.revisions.keep(e.ObjectOld, e.ObjectNew)
				if before.Labels != after.Labels {
					r.findings.Changed(after.Namespace)
				}
				return
			}
			r.revisions.forget(e.ObjectNew)
			r.podChanged(q, before, after)
		},
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*corev1.Pod], q queue) {
			r.revisions.forget(e.Object)
			r.podChanged(q, readPod(e.Object))
		},
	}
}

// podChanged queues each policy that selects the pod in one of the given states. These are the
// states before and after a change, or the only state of a pod that was created or deleted.
func (r *Reconciler) podChanged(q queue, states ...*policy.Pod) {
	for _, pod := range states {
		r.findings.Changed(pod.Namespace)
		for _, name := range r.policies.selecting(pod) {
			q.AddAfter(reconcile.Request{NamespacedName: name}, settleDelay)
		}
	}
}

func (r *Reconciler) namespaceEvents() handler.TypedFuncs[*corev1.Namespace, reconcile.Request] {
	return handler.TypedFuncs[*corev1.Namespace, reconcile.Request]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*corev1.Namespace], _ queue) {
			r.findings.Changed(e.Object.Name)
		},
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*corev1.Namespace], _ queue) {
			if policy.ReadNamespace(e.ObjectOld).Labels != policy.ReadNamespace(e.ObjectNew).Labels {
				r.findings.Changed(e.ObjectNew.Name)
			}
		},
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*corev1.Namespace], _ queue) {
			r.findings.Changed(e.Object.Name)
		},
	}
}

func (r *Reconciler) nodeEvents() handler.TypedFuncs[*v1alpha1.NodeEnforcer, reconcile.Request] {
	return handler.TypedFuncs[*v1alpha1.NodeEnforcer, reconcile.Request]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*v1alpha1.NodeEnforcer], q queue) {
			enqueue(q, r.enforcement.update(e.Object))
		},
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*v1alpha1.NodeEnforcer], q queue) {
			enqueue(q, r.enforcement.update(e.ObjectNew))
		},
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1alpha1.NodeEnforcer], q queue) {
			enqueue(q, r.enforcement.remove(e.Object.Name))
		},
	}
}

// watchFindings queues each policy whose findings changed, until the context ends.
func (r *Reconciler) watchFindings(ctx context.Context, c cache.Cache, q queue) {
	if !c.WaitForCacheSync(ctx) {
		return
	}
	r.findings.Run(ctx, func(names []types.NamespacedName) {
		for _, name := range names {
			q.Add(reconcile.Request{NamespacedName: name})
		}
	})
}

// enqueue adds the affected policies to the queue.
func enqueue(q queue, a affected) {
	for _, name := range a.enforced {
		q.Add(reconcile.Request{NamespacedName: name})
	}
	for _, name := range a.lagging {
		q.AddAfter(reconcile.Request{NamespacedName: name}, settleDelay)
	}
}

// nameOf returns the namespace and the name of an object.
func nameOf(object metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}
