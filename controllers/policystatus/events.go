package policystatus

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/controllers/reduce"
	"github.com/sluicenet/sluice/policy"
)

// events is the type of event handlers for kinds whose objects the caches store in compact
// form.
type events = handler.TypedFuncs[client.Object, reconcile.Request]

func (r *Reconciler) policyEvents() events {
	changed := func(object client.Object, q queue) {
		r.index.SetPolicy(object.(*reduce.CompactPolicy).Policy)
		r.findings.Changed(object.GetNamespace())
		q.Add(requestFor(object))
	}
	return events{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { changed(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			before, after := e.ObjectOld.(*reduce.CompactPolicy).Policy, e.ObjectNew.(*reduce.CompactPolicy).Policy
			if before.UID != after.UID || before.Generation != after.Generation {
				changed(e.ObjectNew, q)
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			r.index.RemovePolicy(client.ObjectKeyFromObject(e.Object))
			r.findings.Changed(e.Object.GetNamespace())
			q.Add(requestFor(e.Object))
		},
	}
}

func (r *Reconciler) podEvents() events {
	return events{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			pod := podOf(e.Object)
			before := r.index.SetPod(pod)
			if !e.IsInInitialList {
				r.podChanged(q, before, pod)
			}
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			pod := podOf(e.ObjectNew)
			r.podChanged(q, r.index.SetPod(pod), pod)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			r.podChanged(q, r.index.RemovePod(client.ObjectKeyFromObject(e.Object)), nil)
		},
	}
}

// podOf returns a pod from the cache. The cache contains complete Pods for Sluice's own pods,
// and compact ones for all others.
func podOf(object client.Object) *policy.Pod {
	if pod, ok := object.(*corev1.Pod); ok {
		return reduce.Pod(pod).Pod
	}
	return object.(*reduce.CompactPod).Pod
}

// podChanged queues the policies whose status can change because a pod changed. The `before`
// parameter is nil for a new pod, and the `after` parameter is nil for a deleted pod.
func (r *Reconciler) podChanged(q queue, before, after *policy.Pod) {
	if before == nil && after == nil || before != nil && after != nil && before.Equal(after) {
		return
	}
	if before != nil {
		r.findings.Changed(before.Namespace)
	} else {
		r.findings.Changed(after.Namespace)
	}
	enqueue(q, r.index.Affected(before, after), settleDelay)
}

func (r *Reconciler) namespaceEvents() events {
	changed := func(object client.Object, q queue) {
		enqueue(q, r.index.SetNamespace(policy.ReadNamespace(object.(*corev1.Namespace))), settleDelay)
		r.findings.Changed(object.GetName())
	}
	return events{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { changed(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { changed(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			enqueue(q, r.index.RemoveNamespace(e.Object.GetName()), settleDelay)
			r.findings.Changed(e.Object.GetName())
		},
	}
}

func requestFor(object client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)}
}
