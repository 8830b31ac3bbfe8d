package enforcer

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/controllers/podranges"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// theEnforcer is the request to reconcile the only Enforcer that a cluster can have. Every
// event queues this request.
var theEnforcer = reconcile.Request{NamespacedName: types.NamespacedName{Name: v1alpha1.EnforcerName}}

// sources returns the watches of all objects on which an Enforcer's objects or status depend.
func (r *Reconciler) sources(c cache.Cache) []source.Source {
	out := []source.Source{
		source.Kind(c, &v1alpha1.Enforcer{}, enqueue[*v1alpha1.Enforcer](0, nil)),
		source.Kind(c, &v1alpha1.NodeEnforcer{}, enqueue[*v1alpha1.NodeEnforcer](batchDelay, nil)),
		source.Kind(c, &corev1.Node{}, enqueue[*corev1.Node](batchDelay, nil)),
		source.Kind(c, client.Object(&corev1.Pod{}), enqueue(batchDelay, func(object client.Object) bool {
			// The cache contains complete Pods only for Sluice's own pods. See KeepOwnPods.
			pod, ok := object.(*corev1.Pod)
			return ok && pod.Namespace == r.namespace && isOwnPod(pod)
		})),
	}
	for _, kind := range ownedKinds() {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(kind.GroupVersionKind)
		out = append(out, source.Kind(c, object, enqueue(0, func(u *unstructured.Unstructured) bool {
			return u.GetLabels()[desired.LabelManagedBy] == desired.FieldOwner || isOwnName(u.GetName())
		})))
	}
	return out
}

func isOwnName(name string) bool {
	switch name {
	case desired.AgentName, desired.OwnNodeName, desired.DaemonSetName, desired.LeavingName, desired.UninstallName, desired.MetricsName,
		podranges.Name:
		return true
	}
	return false
}

// enqueue returns an event handler that queues the Enforcer after a delay. It ignores each object
// for which matters(object) is false. All events within the delay lead to one reconciliation.
func enqueue[T client.Object](delay time.Duration, matters func(T) bool) handler.TypedEventHandler[T, reconcile.Request] {
	add := func(object T, q queue) {
		if matters == nil || matters(object) {
			q.AddAfter(theEnforcer, delay)
		}
	}
	return handler.TypedFuncs[T, reconcile.Request]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[T], q queue) { add(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[T], q queue) { add(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[T], q queue) { add(e.Object, q) },
	}
}
