package enforcer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/apply"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/controllers/enforcer/freeing"
	"github.com/sluicenet/sluice/controllers/enforcer/installation"
	"github.com/sluicenet/sluice/controllers/enforcer/metrics"
	"github.com/sluicenet/sluice/controllers/podranges"
	"github.com/sluicenet/sluice/controllers/register"
)

// The role of the operator includes all rights of the agent (see controllers/node), because
// the API server lets the operator grant only rights that the operator itself has.
//
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=enforcers,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=enforcers/status,verbs=update
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers/status,verbs=update
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles;clusterrolebindings,resourceNames=sluice-agent,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,resourceNames=sluice-agent-own-node;sluice-keep-installation,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=serviceaccounts;services,verbs=list;watch
// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=configmaps,resourceNames=sluice-pod-ranges,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,namespace=sluice-system,resources=roles;rolebindings,resourceNames=sluice-agent,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=sluice-system,resources=leases,verbs=get;create;update
// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=serviceaccounts,resourceNames=sluice-agent,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=services,resourceNames=sluice-metrics,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=apps,namespace=sluice-system,resources=daemonsets,verbs=list;watch
// +kubebuilder:rbac:groups=apps,namespace=sluice-system,resources=daemonsets,resourceNames=sluice;sluice-leaving;sluice-uninstall,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=monitoring.coreos.com,namespace=sluice-system,resources=servicemonitors,resourceNames=sluice-metrics,verbs=get;create;patch;delete

const (
	// batchDelay is how long the operator collects node events before it writes one status.
	batchDelay = time.Second
	// resyncInterval is the time between two reconciliations without an event. These
	// reconciliations find nodes that have stopped reporting, because a missing report causes
	// no event.
	resyncInterval = 10 * time.Second
	// monitorInterval is the time between two checks of the ServiceMonitor. Each check also
	// finds out whether the cluster serves this kind.
	monitorInterval = time.Minute
)

// Options configures the reconciler of the Enforcer.
type Options struct {
	// Namespace is the namespace of the operator and of the objects that it creates.
	Namespace string
	// Image is the image of the agent and the dataplane if the Enforcer specifies no image.
	Image string
	// FaultDelay is the time that a state must last before it changes the condition Available or
	// Degraded. 0 means 30 s.
	FaultDelay time.Duration
	// Registry registers the metrics of the Enforcer while the operator is active. nil means the
	// registry of controller-runtime.
	Registry prometheus.Registerer
	Log      logr.Logger
}

// Reconciler reconciles the Enforcer.
type Reconciler struct {
	namespace, image string

	// The `reader` field reads from the caches. The `direct` field reads from the API server.
	reader, direct client.Reader
	client         client.Client
	mapper         meta.RESTMapper
	events         events.EventRecorder
	log            logr.Logger

	owned    *apply.Applier
	monitor  *apply.Applier
	monitors time.Time // time of the last check of ServiceMonitors
	history  *history
	rejected rejections
	metrics  *metrics.Collector
	// ignored is the Enforcer's owner that the `ignore` method reported last.
	ignored  string
	guarded  time.Time // time of the last check of the objects of rbac.Installation
	schedule freeing.Schedule
}

// SetupWithManager adds the reconciler of the Enforcer to a manager. The caches of the
// manager must be created with the options of CachedObjects and KeepOwnPods.
func SetupWithManager(mgr manager.Manager, o Options) error {
	r := &Reconciler{
		namespace: o.Namespace, image: o.Image,
		reader: mgr.GetCache(), direct: mgr.GetAPIReader(), client: mgr.GetClient(), mapper: mgr.GetRESTMapper(),
		events: mgr.GetEventRecorder(desired.FieldOwner), log: o.Log, history: newHistory(o.FaultDelay),
	}
	r.metrics = metrics.New(mgr.GetCache())
	if o.Registry == nil {
		o.Registry = ctrlmetrics.Registry
	}
	if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return r.metrics.Start(ctx, o.Registry) })); err != nil {
		return fmt.Errorf("preparing the metrics of the Enforcer: %w", err)
	}
	r.owned, r.monitor = apply.New(r.client, r.reader, desired.FieldOwner), apply.New(r.client, r.direct, desired.FieldOwner)
	return register.Controller(mgr, "enforcer", controller.Options{Reconciler: r}, r.sources(mgr.GetCache()))
}

// Reconcile applies the objects of the Enforcer, removes the rules from nodes that the Enforcer no
// longer selects, removes the startup taint from nodes that enforce policies, and writes the
// status of the Enforcer. If the Enforcer is being deleted, Reconcile uninstalls it.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	enforcer := &v1alpha1.Enforcer{}
	if err := r.reader.Get(ctx, request.NamespacedName, enforcer); err != nil {
		if apierrors.IsNotFound(err) {
			r.metrics.Set(nil)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("reading the Enforcer: %w", err)
	}
	switch other, err := installation.Other(ctx, r.reader, enforcer, r.namespace); {
	case err != nil:
		return reconcile.Result{}, err
	case other != "":
		return r.ignore(enforcer, other), nil
	}
	r.ignored = ""
	if !enforcer.DeletionTimestamp.IsZero() {
		r.metrics.Set(&metrics.State{Status: enforcer.Status, Owned: true, Uninstalling: true})
		return r.uninstall(ctx, enforcer)
	}
	if err := r.claim(ctx, enforcer); err != nil {
		return reconcile.Result{}, ignoreOutdated(err)
	}
	seen, err := r.observe(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	plan, err := r.planLeave(ctx, enforcer, seen)
	if err != nil {
		return reconcile.Result{}, err
	}
	leaveErr := errors.Join(r.maintainRecords(ctx, seen), r.enforceLeaving(ctx, enforcer, plan), r.guardInstallation(ctx, enforcer))
	enforcer, seen.noMatch = plan.enforcer, plan.noMatch
	var freeErr, taintErr, rejectErr error
	applied, applyErr := r.apply(ctx, enforcer, &seen)
	if applied != nil {
		seen.daemonSet = applied
	}
	seen.freeing, freeErr = r.freeNodes(ctx, enforcer, seen, plan)
	seen.tainted, taintErr = r.removeStartupTaints(ctx, &enforcer.Spec, seen)
	seen.rejection, rejectErr = r.rejected.newest(ctx, r.direct, enforcer, &seen)
	failed := errors.Join(leaveErr, applyErr, freeErr, taintErr, rejectErr)
	if failed != nil {
		seen.applyFailure = failed.Error()
	}
	seen.conflicts = r.owned.Conflicts()
	status := enforcerStatus(enforcer, seen, r.history, now())
	r.metrics.Set(&metrics.State{
		Status: status, Owned: true, WithoutPod: len(withoutPod(enforcer, &seen)),
		Contested: len(seen.conflicts), BlockedSince: r.history.blockedSince,
	})
	err = r.write(ctx, enforcer, status)
	wait := r.history.faults.Wait(r.owned.Wait(resyncInterval), time.Now())
	if left := plan.Next(time.Now()); left > 0 {
		wait = min(wait, left)
	}
	return reconcile.Result{RequeueAfter: wait + time.Millisecond}, errors.Join(failed, ignoreOutdated(err))
}

// ignore handles an Enforcer that another installation owns. It reports each new owner only once.
func (r *Reconciler) ignore(enforcer *v1alpha1.Enforcer, owner string) reconcile.Result {
	r.metrics.Set(&metrics.State{})
	if owner != r.ignored {
		r.ignored = owner
		r.log.Info("Ignoring the Enforcer, because another installation owns it", "owner", owner, "annotation", v1alpha1.AnnotationInstallation)
		r.events.Eventf(enforcer, nil, corev1.EventTypeWarning, "InstallationIgnored", "Claim",
			"the operator in namespace %s does nothing, because the installation in namespace %s owns the Enforcer", r.namespace, owner)
	}
	return reconcile.Result{RequeueAfter: resyncInterval}
}

// ignoreOutdated returns nil if the error means that another client has changed or deleted the
// object. The event of that change causes the next reconciliation. ignoreOutdated returns all
// other errors.
func ignoreOutdated(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// claim records that the Enforcer belongs to this installation, and adds a finalizer, so that a
// deleted Enforcer stays until it is uninstalled.
func (r *Reconciler) claim(ctx context.Context, enforcer *v1alpha1.Enforcer) error {
	before := enforcer.DeepCopy()
	added := controllerutil.AddFinalizer(enforcer, v1alpha1.FinalizerUninstall)
	if !added && installation.Owner(enforcer) == r.namespace {
		return nil
	}
	installation.Claim(enforcer, r.namespace)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, enforcer, patch); err != nil {
		return fmt.Errorf("claiming the Enforcer: %w", err)
	}
	return nil
}

// apply applies all objects of the Enforcer. If one object fails, apply continues with the next
// object. It returns the resulting DaemonSet, or nil if there is none.
func (r *Reconciler) apply(ctx context.Context, enforcer *v1alpha1.Enforcer, seen *observation) (daemonSet *appsv1.DaemonSet, err error) {
	objects, err := desired.Objects(enforcer, r.namespace, r.image, desired.Nodes{
		PodRanges: podRanges(seen.nodes), Replaced: replacedPods(&enforcer.Spec, seen.nodes),
	})
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, object := range objects {
		live, err := r.owned.Apply(ctx, object)
		if err == nil && live != nil && object.GroupVersionKind() == desired.DaemonSetKind {
			daemonSet, err = desired.TypedDaemonSet(live)
		}
		errs = append(errs, err)
	}
	return daemonSet, errors.Join(append(errs, r.applyMonitor(ctx, enforcer))...)
}

// podRanges returns the podCIDRs of Nodes.
func podRanges(nodes []corev1.Node) []netip.Prefix {
	var out []netip.Prefix
	for i := range nodes {
		out = append(out, podranges.Parse(nodes[i].Spec.PodCIDRs)...)
	}
	return out
}

// applyMonitor applies the ServiceMonitor if the cluster serves this kind.
func (r *Reconciler) applyMonitor(ctx context.Context, enforcer *v1alpha1.Enforcer) error {
	if time.Since(r.monitors) < monitorInterval {
		return nil
	}
	if exists, err := r.serviceMonitorsExist(); err != nil || !exists {
		return err
	}
	_, err := r.monitor.Apply(ctx, desired.ServiceMonitor(enforcer, r.namespace))
	if apierrors.IsNotFound(err) {
		// The kind was removed after the REST mapper had cached it.
		err = nil
	}
	if err == nil {
		r.monitors = time.Now()
	}
	return err
}

// serviceMonitorsExist reports whether the API server serves the kind ServiceMonitor.
func (r *Reconciler) serviceMonitorsExist() (bool, error) {
	_, err := r.mapper.RESTMapping(desired.ServiceMonitorKind.GroupKind(), desired.ServiceMonitorKind.Version)
	switch {
	case meta.IsNoMatchError(err):
		r.monitors = time.Now()
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking for ServiceMonitors: %w", err)
	}
	return true, nil
}

// observe reads the nodes, their NodeEnforcers and the enforcing pods from the caches.
func (r *Reconciler) observe(ctx context.Context) (observation, error) {
	var pods corev1.PodList
	var nodes corev1.NodeList
	var nodeEnforcers v1alpha1.NodeEnforcerList
	err := errors.Join(
		r.reader.List(ctx, &pods, client.InNamespace(r.namespace), client.MatchingLabels(desired.Labels(desired.ComponentNode))),
		r.reader.List(ctx, &nodes),
		r.reader.List(ctx, &nodeEnforcers),
	)
	if err != nil {
		return observation{}, fmt.Errorf("reading the state of nodes: %w", err)
	}
	daemonSet, err := r.owned.Live(ctx, desired.Object(desired.DaemonSetKind, r.namespace, desired.DaemonSetName, nil, nil))
	if err != nil {
		return observation{}, err
	}
	seen := observation{pods: pods.Items, nodes: nodes.Items, nodeEnforcers: nodeEnforcers.Items}
	if daemonSet != nil {
		seen.daemonSet, err = desired.TypedDaemonSet(daemonSet)
	}
	return seen, err
}

// setConditions sets conditions in a new status of the Enforcer. If the status of a condition
// does not change, the condition keeps its last transition time.
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

// now returns the current time, truncated to whole seconds because metav1.Time has this
// precision in JSON.
func now() metav1.Time { return metav1.Time{Time: time.Now().Truncate(time.Second)} }

// write writes the new status of the Enforcer unless it equals the current status.
func (r *Reconciler) write(ctx context.Context, enforcer *v1alpha1.Enforcer, status v1alpha1.EnforcerStatus) error {
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
