package operator

import (
	"context"
	"maps"
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
	"github.com/sluicenet/sluice/controllers/reduce"
)

const (
	// settleTime is how long a change of pods, a node that does not answer, or
	// nodes that take up a policy one after the other, may take to settle before a
	// status says so. Agents report within a second what they enforce, so that
	// most new pods are enforced by then; and it is one write for many changes.
	settleTime = 1500 * time.Millisecond
	// silenceLook is how often silent nodes are looked for.
	silenceLook = 5 * time.Second
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// cachedObjects let a cache keep only what PolicyStatus is made of.
func cachedObjects() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:                 reduce.With(reduce.Pod),
		&corev1.Namespace{}:           reduce.With(reduce.Namespace),
		&networkingv1.NetworkPolicy{}: reduce.With(reduce.NetworkPolicy),
		&v1alpha1.NodeEnforcer{}:      {Transform: cache.TransformStripManagedFields()},
		&v1alpha1.PolicyStatus{}:      {Transform: cache.TransformStripManagedFields()},
	}
}

// sources are everything that can change a PolicyStatus.
func (r *policyStatusReconciler) sources(c cache.Cache) []source.Source {
	return []source.Source{
		source.Kind(c, &networkingv1.NetworkPolicy{}, handler.TypedFuncs[*networkingv1.NetworkPolicy, reconcile.Request]{
			CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*networkingv1.NetworkPolicy], q queue) {
				r.policyChanged(e.Object, q)
			},
			UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*networkingv1.NetworkPolicy], q queue) {
				if e.ObjectOld.UID == e.ObjectNew.UID && e.ObjectOld.Generation == e.ObjectNew.Generation {
					r.revisions.keep(e.ObjectOld, e.ObjectNew)
					return
				}
				r.policyChanged(e.ObjectNew, q)
			},
			DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*networkingv1.NetworkPolicy], q queue) {
				r.subjects.remove(e.Object)
				r.revisions.forget(e.Object)
				r.findings.touch()
				q.Add(requestOf(e.Object))
			},
		}),
		source.Kind(c, &corev1.Pod{}, handler.TypedFuncs[*corev1.Pod, reconcile.Request]{
			CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*corev1.Pod], q queue) {
				if !e.IsInInitialList {
					r.podChanged(q, e.Object)
				}
			},
			UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*corev1.Pod], q queue) {
				if r.subjects.sameToPolicies(e.ObjectOld, e.ObjectNew) {
					r.revisions.keep(e.ObjectOld, e.ObjectNew)
					if !maps.Equal(e.ObjectOld.Labels, e.ObjectNew.Labels) {
						r.findings.touch()
					}
					return
				}
				r.revisions.forget(e.ObjectNew)
				r.podChanged(q, e.ObjectOld, e.ObjectNew)
			},
			DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*corev1.Pod], q queue) {
				r.revisions.forget(e.Object)
				r.podChanged(q, e.Object)
			},
		}),
		source.Kind(c, &corev1.Namespace{}, handler.TypedFuncs[*corev1.Namespace, reconcile.Request]{
			CreateFunc: func(context.Context, event.TypedCreateEvent[*corev1.Namespace], queue) { r.findings.touch() },
			UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*corev1.Namespace], _ queue) {
				if !maps.Equal(e.ObjectOld.Labels, e.ObjectNew.Labels) {
					r.findings.touch()
				}
			},
			DeleteFunc: func(context.Context, event.TypedDeleteEvent[*corev1.Namespace], queue) { r.findings.touch() },
		}),
		source.Kind(c, &v1alpha1.NodeEnforcer{}, handler.TypedFuncs[*v1alpha1.NodeEnforcer, reconcile.Request]{
			CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*v1alpha1.NodeEnforcer], q queue) {
				tell(q, r.enforcement.seen(e.Object, time.Now()))
			},
			UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*v1alpha1.NodeEnforcer], q queue) {
				tell(q, r.enforcement.seen(e.ObjectNew, time.Now()))
			},
			DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1alpha1.NodeEnforcer], q queue) {
				tell(q, r.enforcement.gone(e.Object.Name))
			},
		}),
		// What somebody else wrote is repaired, and what was deleted made anew.
		source.Kind(c, &v1alpha1.PolicyStatus{}, &handler.TypedEnqueueRequestForObject[*v1alpha1.PolicyStatus]{}),
		source.Func(func(ctx context.Context, q queue) error {
			r.began = time.Now()
			go r.watchSilence(ctx, q)
			go r.watchFindings(ctx, c, q)
			return nil
		}),
	}
}

func (r *policyStatusReconciler) policyChanged(np *networkingv1.NetworkPolicy, q queue) {
	r.subjects.set(np)
	r.revisions.forget(np)
	r.findings.touch()
	q.Add(requestOf(np))
}

// podChanged lets the policies be looked at that select a pod in any of the
// given states.
func (r *policyStatusReconciler) podChanged(q queue, states ...*corev1.Pod) {
	r.findings.touch()
	for _, pod := range states {
		for name := range r.subjects.selecting(pod) {
			q.AddAfter(reconcile.Request{NamespacedName: name}, settleTime)
		}
	}
}

// watchSilence looks for nodes that do not report any more.
func (r *policyStatusReconciler) watchSilence(ctx context.Context, q queue) {
	tick := time.NewTicker(silenceLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			tell(q, r.enforcement.expire(now))
		}
	}
}

// watchFindings lets policies be looked at of which the findings change.
func (r *policyStatusReconciler) watchFindings(ctx context.Context, c cache.Cache, q queue) {
	if !c.WaitForCacheSync(ctx) {
		return
	}
	r.findings.run(ctx, r.subjects.all, func(names []types.NamespacedName) {
		for _, name := range names {
			q.Add(reconcile.Request{NamespacedName: name})
		}
	})
}

// tell queues what a node's news are about.
func tell(q queue, n news) {
	for _, name := range n.settled {
		q.Add(reconcile.Request{NamespacedName: name})
	}
	for _, name := range n.moved {
		q.AddAfter(reconcile.Request{NamespacedName: name}, settleTime)
	}
}

func requestOf(object client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)}
}
