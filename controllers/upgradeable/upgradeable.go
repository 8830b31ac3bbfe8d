// Package upgradeable reports to OLM whether OLM may upgrade the operator. It writes the
// condition Upgradeable of the OperatorCondition that OLM creates for each version of the
// operator. While the condition is False, OLM does not install another version.
package upgradeable

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
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

// OLM creates a role that allows the operator to read and change its OperatorCondition, but not to
// watch it. So the controller reads the OperatorCondition every checkInterval.

// +kubebuilder:rbac:groups=policy.sluice.dev,resources=enforcers;nodeenforcers,verbs=get;list;watch

const (
	// batchDelay is the time for which the controller collects changes.
	batchDelay = time.Second
	// checkInterval is the time after which the controller reads the OperatorCondition again,
	// because OLM or another client may have changed it.
	checkInterval = time.Minute
	// retryInterval is the time between a conflict and the next attempt to write.
	retryInterval = 100 * time.Millisecond
)

// Kind is the kind OperatorCondition.
var Kind = schema.GroupVersionKind{Group: "operators.coreos.com", Version: "v2", Kind: "OperatorCondition"}

// Options configures the controller.
type Options struct {
	// Namespace is the namespace of the operator and of the OperatorCondition.
	Namespace string
	// Name is the name of the OperatorCondition.
	Name string
	// Active reports whether the Enforcer belongs to this installation, or whether this
	// installation may claim it.
	Active func(context.Context) (bool, error)
	Log    logr.Logger
}

// Reconciler maintains the condition Upgradeable.
type Reconciler struct {
	Options
	// The `reader` field reads from the caches. The `direct` field reads from the API server.
	reader, direct client.Reader
	client         client.Client
}

// SetupWithManager adds the controller to a manager.
func SetupWithManager(mgr manager.Manager, o Options) error {
	r := &Reconciler{Options: o, reader: mgr.GetCache(), direct: mgr.GetAPIReader(), client: mgr.GetClient()}
	return register.Controller(mgr, "upgradeable", controller.Options{Reconciler: r}, r.sources(mgr.GetCache()))
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// sources returns the watches of the objects on which the condition depends. A further source
// queues the OperatorCondition once when the controller starts, because a cluster may have none of
// these objects.
func (r *Reconciler) sources(c cache.Cache) []source.Source {
	request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: r.Namespace, Name: r.Name}}
	add := func(q queue) { q.AddAfter(request, batchDelay) }
	return []source.Source{
		source.Kind(c, &v1alpha1.Enforcer{}, enqueue[*v1alpha1.Enforcer](add)),
		source.Kind(c, &v1alpha1.NodeEnforcer{}, enqueue[*v1alpha1.NodeEnforcer](add)),
		source.Func(func(_ context.Context, q queue) error {
			add(q)
			return nil
		}),
	}
}

func enqueue[T client.Object](add func(queue)) handler.TypedEventHandler[T, reconcile.Request] {
	return handler.TypedFuncs[T, reconcile.Request]{
		CreateFunc: func(_ context.Context, _ event.TypedCreateEvent[T], q queue) { add(q) },
		UpdateFunc: func(_ context.Context, _ event.TypedUpdateEvent[T], q queue) { add(q) },
		DeleteFunc: func(_ context.Context, _ event.TypedDeleteEvent[T], q queue) { add(q) },
	}
}

// Reconcile writes the condition Upgradeable if it has changed.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	wanted, err := r.condition(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(Kind)
	err = r.direct.Get(ctx, request.NamespacedName, object)
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		r.Log.V(1).Info("The OperatorCondition does not exist", "name", request.Name)
		return reconcile.Result{RequeueAfter: checkInterval}, nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("reading the OperatorCondition: %w", err)
	}
	changed, err := setCondition(object, wanted)
	if err != nil || !changed {
		return reconcile.Result{RequeueAfter: checkInterval}, err
	}
	err = r.client.Update(ctx, object)
	switch {
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("writing the OperatorCondition: %w", err)
	}
	r.Log.Info("Wrote the condition Upgradeable", "status", wanted.Status, "reason", wanted.Reason)
	return reconcile.Result{RequeueAfter: checkInterval}, nil
}

// setCondition sets a condition in the spec of an OperatorCondition, and reports whether this
// changes the object. OLM copies the conditions to the status.
func setCondition(object *unstructured.Unstructured, wanted metav1.Condition) (bool, error) {
	var spec struct {
		Conditions []metav1.Condition `json:"conditions"`
	}
	found, _, err := unstructured.NestedMap(object.Object, "spec")
	if err != nil {
		return false, fmt.Errorf("reading the conditions of the OperatorCondition: %w", err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found, &spec); err != nil {
		return false, fmt.Errorf("reading the conditions of the OperatorCondition: %w", err)
	}
	if !meta.SetStatusCondition(&spec.Conditions, wanted) {
		return false, nil
	}
	conditions := make([]any, 0, len(spec.Conditions))
	for i := range spec.Conditions {
		condition, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&spec.Conditions[i])
		if err != nil {
			return false, fmt.Errorf("converting a condition: %w", err)
		}
		conditions = append(conditions, condition)
	}
	return true, unstructured.SetNestedSlice(object.Object, conditions, "spec", "conditions")
}
