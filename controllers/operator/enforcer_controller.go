package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// An operator may give an agent no right that it does not have itself, so it has
// those of the agent: see controllers/node.
//
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=enforcers,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=enforcers/status,verbs=update
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers/status,verbs=update
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles;clusterrolebindings,resourceNames=sluice-agent,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,resourceNames=sluice-agent-own-node,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=serviceaccounts;services,verbs=list;watch
// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=serviceaccounts,resourceNames=sluice-agent,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=services,resourceNames=sluice-metrics,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=apps,namespace=sluice-system,resources=daemonsets,verbs=list;watch
// +kubebuilder:rbac:groups=apps,namespace=sluice-system,resources=daemonsets,resourceNames=sluice;sluice-uninstall,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=monitoring.coreos.com,namespace=sluice-system,resources=servicemonitors,resourceNames=sluice-metrics,verbs=get;create;patch;delete

const (
	// statusPause is the time in which what happens on nodes becomes one status.
	statusPause = time.Second
	// statusLook is how often a status is looked at without an event, for nodes
	// that fall silent.
	statusLook = 10 * time.Second
	// monitorLook is how often it is looked whether there are ServiceMonitors, and
	// whether the one for our metrics is as it should be.
	monitorLook = time.Minute
)

// enforcerReconciler makes the cluster be as the Enforcer says.
type enforcerReconciler struct {
	namespace, image string

	// reader reads the caches, direct the API server.
	reader, direct client.Reader
	client         client.Client
	mapper         meta.RESTMapper
	events         events.EventRecorder
	log            logr.Logger

	owned    *applier
	monitor  *applier
	monitors time.Time // when ServiceMonitors were last looked at
}

// addEnforcer lets a manager run the reconciler of the Enforcer.
func addEnforcer(mgr manager.Manager, o Options) error {
	r := &enforcerReconciler{
		namespace: o.Namespace, image: o.Image,
		reader: mgr.GetCache(), direct: mgr.GetAPIReader(), client: mgr.GetClient(), mapper: mgr.GetRESTMapper(),
		events: mgr.GetEventRecorder(fieldOwner), log: o.Log.WithName("enforcer"),
	}
	r.owned, r.monitor = newApplier(r.client, r.reader), newApplier(r.client, r.direct)
	c, err := controller.New("enforcer", mgr, controller.Options{
		Reconciler: r,
		// Tests run several operators in one process, one after the other.
		SkipNameValidation: ptr.To(true),
	})
	if err != nil {
		return fmt.Errorf("preparing the controller of the Enforcer: %w", err)
	}
	for _, s := range r.sources(mgr.GetCache()) {
		if err := c.Watch(s); err != nil {
			return fmt.Errorf("preparing the watches of the Enforcer: %w", err)
		}
	}
	return nil
}

// Reconcile brings the cluster one step closer to the Enforcer.
func (r *enforcerReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	enforcer := &v1alpha1.Enforcer{}
	if err := r.reader.Get(ctx, request.NamespacedName, enforcer); err != nil {
		if apierrors.IsNotFound(err) {
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("reading the Enforcer: %w", err)
	}
	if !enforcer.DeletionTimestamp.IsZero() {
		return r.uninstall(ctx, enforcer)
	}
	if err := r.hold(ctx, enforcer); err != nil {
		return reconcile.Result{}, unlessOutdated(err)
	}
	daemonSet, applyErr := r.apply(ctx, enforcer)
	c, err := r.cluster(ctx, daemonSet)
	if err == nil {
		var freeErr error
		c.freeing, freeErr = r.free(ctx, enforcer, c)
		applyErr = errors.Join(applyErr, freeErr)
		err = r.write(ctx, enforcer, statusAfter(enforcer, c, applyErr))
	}
	return reconcile.Result{RequeueAfter: statusLook}, errors.Join(applyErr, unlessOutdated(err))
}

// unlessOutdated gives an error, or nil if somebody else changed the object
// meanwhile: the event of that change comes.
func unlessOutdated(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// hold lets the Enforcer not go before its nodes are free of it.
func (r *enforcerReconciler) hold(ctx context.Context, enforcer *v1alpha1.Enforcer) error {
	before := enforcer.DeepCopy()
	if !controllerutil.AddFinalizer(enforcer, v1alpha1.FinalizerUninstall) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, enforcer, patch); err != nil {
		return fmt.Errorf("adding the finalizer to the Enforcer: %w", err)
	}
	return nil
}

// apply applies everything that the Enforcer comes to. One object that fails
// does not keep back the others. It gives the DaemonSet as it then is, nil if
// there is none.
func (r *enforcerReconciler) apply(ctx context.Context, enforcer *v1alpha1.Enforcer) (daemonSet *unstructured.Unstructured, err error) {
	objects, err := objectsOf(enforcer, r.namespace, r.image)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, object := range objects {
		live, err := r.owned.apply(ctx, object)
		errs = append(errs, err)
		if err == nil && object.GroupVersionKind() == daemonSetKind {
			daemonSet = live
		}
	}
	return daemonSet, errors.Join(append(errs, r.applyMonitor(ctx, enforcer))...)
}

// applyMonitor applies the ServiceMonitor where there is such a kind.
func (r *enforcerReconciler) applyMonitor(ctx context.Context, enforcer *v1alpha1.Enforcer) error {
	if time.Since(r.monitors) < monitorLook {
		return nil
	}
	if known, err := r.monitored(); err != nil || !known {
		return err
	}
	_, err := r.monitor.apply(ctx, owned(enforcer, serviceMonitor(r.namespace)))
	if apierrors.IsNotFound(err) {
		// The kind was taken away again.
		err = nil
	}
	if err == nil {
		r.monitors = time.Now()
	}
	return err
}

// monitored reports whether the API server knows ServiceMonitors.
func (r *enforcerReconciler) monitored() (bool, error) {
	_, err := r.mapper.RESTMapping(serviceMonitorKind.GroupKind(), serviceMonitorKind.Version)
	switch {
	case meta.IsNoMatchError(err):
		r.monitors = time.Now()
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking for ServiceMonitors: %w", err)
	}
	return true, nil
}

// statusAfter says how far the cluster is, and what the API server refused.
func statusAfter(enforcer *v1alpha1.Enforcer, c cluster, applyErr error) v1alpha1.EnforcerStatus {
	status := enforcerStatus(enforcer, c, now())
	if applyErr != nil {
		setConditions(enforcer, &status, v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue,
			v1alpha1.ReasonApplyFailed, shortened(applyErr.Error(), maxMessage)))
	}
	return status
}

// cluster gathers what a status is made of.
func (r *enforcerReconciler) cluster(ctx context.Context, daemonSet *unstructured.Unstructured) (cluster, error) {
	var c cluster
	var pods corev1.PodList
	var nodes corev1.NodeList
	var nodeEnforcers v1alpha1.NodeEnforcerList
	err := errors.Join(
		r.reader.List(ctx, &pods, client.InNamespace(r.namespace), client.MatchingLabels(labelsOf(componentNode))),
		r.reader.List(ctx, &nodes),
		r.reader.List(ctx, &nodeEnforcers),
	)
	if err != nil {
		return c, fmt.Errorf("reading the state of nodes: %w", err)
	}
	if daemonSet != nil {
		if c.daemonSet, err = typedDaemonSet(daemonSet); err != nil {
			return c, err
		}
	}
	c.pods, c.nodes, c.nodeEnforcers = pods.Items, nodes.Items, nodeEnforcers.Items
	return c, nil
}

// setConditions replaces conditions of a status that was made for an Enforcer.
func setConditions(enforcer *v1alpha1.Enforcer, status *v1alpha1.EnforcerStatus, conditions ...metav1.Condition) {
	for _, condition := range conditions {
		condition.ObservedGeneration = enforcer.Generation
		condition.LastTransitionTime = now()
		if old := meta.FindStatusCondition(enforcer.Status.Conditions, condition.Type); old != nil && old.Status == condition.Status {
			condition.LastTransitionTime = old.LastTransitionTime
		}
		meta.RemoveStatusCondition(&status.Conditions, condition.Type)
		meta.SetStatusCondition(&status.Conditions, condition)
	}
}

// now is as fine as the API writes times.
func now() metav1.Time { return metav1.Time{Time: time.Now().Truncate(time.Second)} }

// write writes a status that says something new.
func (r *enforcerReconciler) write(ctx context.Context, enforcer *v1alpha1.Enforcer, status v1alpha1.EnforcerStatus) error {
	if equality.Semantic.DeepEqual(enforcer.Status, status) {
		return nil
	}
	next := enforcer.DeepCopy()
	next.Status = status
	if err := r.client.Status().Update(ctx, next); err != nil {
		return fmt.Errorf("writing the Enforcer's status: %w", err)
	}
	return nil
}
