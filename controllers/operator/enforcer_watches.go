package operator

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// theEnforcer is the only one that there can be: whatever happens is about it.
var theEnforcer = reconcile.Request{NamespacedName: types.NamespacedName{Name: v1alpha1.EnforcerName}}

// sources are everything that can change what an Enforcer comes to, or its
// status.
func (r *enforcerReconciler) sources(c cache.Cache) []source.Source {
	out := []source.Source{
		source.Kind(c, &v1alpha1.Enforcer{}, after[*v1alpha1.Enforcer](0, nil)),
		source.Kind(c, &v1alpha1.NodeEnforcer{}, after[*v1alpha1.NodeEnforcer](statusPause, nil)),
		source.Kind(c, &corev1.Node{}, after[*corev1.Node](statusPause, nil)),
		source.Kind(c, &corev1.Pod{}, after(statusPause, func(pod *corev1.Pod) bool {
			return pod.Namespace == r.namespace && ownPod(pod)
		})),
	}
	for _, kind := range ownedKinds() {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(kind.GroupVersionKind)
		out = append(out, source.Kind(c, object, after(0, func(u *unstructured.Unstructured) bool {
			return u.GetLabels()[labelManagedBy] == fieldOwner || ownName(u.GetName())
		})))
	}
	return out
}

func ownName(name string) bool {
	switch name {
	case agentName, ownNodeName, daemonSetName, uninstallName, metricsName:
		return true
	}
	return false
}

// after lets the Enforcer be looked at some time after an event of an object
// that matters. Events until then come to the same look.
func after[T client.Object](pause time.Duration, matters func(T) bool) handler.TypedEventHandler[T, reconcile.Request] {
	look := func(object T, q queue) {
		if matters == nil || matters(object) {
			q.AddAfter(theEnforcer, pause)
		}
	}
	return handler.TypedFuncs[T, reconcile.Request]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[T], q queue) { look(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[T], q queue) { look(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[T], q queue) { look(e.Object, q) },
	}
}
