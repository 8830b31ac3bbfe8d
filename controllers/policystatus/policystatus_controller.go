package policystatus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/clusterpolicy"
	"github.com/sluicenet/sluice/controllers/policystatus/cluster"
	"github.com/sluicenet/sluice/controllers/policystatus/findings"
	"github.com/sluicenet/sluice/controllers/register"
	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods;namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=policystatuses;clusterpolicystatuses,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=policystatuses/status;clusterpolicystatuses/status,verbs=update

// workers is the number of concurrent reconciliations. It is above 1 because an operator that
// starts in a cluster with thousands of policies spends most of its time waiting for the API
// server.
const workers = 4

// Reconciler maintains one PolicyStatus for each NetworkPolicy, and one ClusterPolicyStatus for each
// ClusterNetworkPolicy.
type Reconciler struct {
	// The `reader` field reads from the caches. The `direct` field reads from the API server.
	reader, direct client.Reader
	client         client.Client

	// active reports whether the reconciler may write.
	active func(context.Context) (bool, error)

	index    *cluster.Index
	findings *findings.Findings
	tiers    *tiers
	// filled is closed by the first reconciliation. The workers start only after the index contains
	// all objects of the first lists. Otherwise, a status could be computed from only some of the
	// objects.
	filled    chan struct{}
	closeOnce sync.Once
}

// SetupWithManager adds the reconciler of PolicyStatus to a manager. The caches of the manager must
// be created with the options of CachedObjects. While the function `active` returns false, the
// reconciler writes nothing.
func SetupWithManager(mgr manager.Manager, active func(context.Context) (bool, error), log logr.Logger) error {
	r := &Reconciler{
		reader: mgr.GetCache(), direct: mgr.GetAPIReader(), client: mgr.GetClient(), active: active,
		index: cluster.New(), filled: make(chan struct{}),
	}
	r.findings = findings.New(r.index, log)
	r.tiers = newTiers(mgr, r.index, r.findings, log)
	return register.Controller(mgr, "policystatus", controller.Options{Reconciler: r, MaxConcurrentReconciles: workers}, r.sources(mgr.GetCache()))
}

// inactiveInterval is the time after which an inactive reconciler checks again whether it is
// active.
const inactiveInterval = time.Minute

// Reconcile updates the status object of one policy.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	r.closeOnce.Do(func() { close(r.filled) })
	if active, err := r.active(ctx); err != nil || !active {
		return reconcile.Result{RequeueAfter: inactiveInterval}, err
	}
	if request.Namespace == "" {
		return r.reconcileCluster(ctx, request.Name)
	}
	seen := r.index.Observe(request.NamespacedName)
	if seen == nil {
		return reconcile.Result{}, r.remove(ctx, &v1alpha1.PolicyStatus{}, request.NamespacedName)
	}
	return r.report(ctx, seen)
}

// report writes the status object of a policy.
func (r *Reconciler) report(ctx context.Context, seen *cluster.Observation) (reconcile.Result, error) {
	held, err := r.find(ctx, seen.Policy)
	if err != nil || held == nil {
		return reconcile.Result{}, err
	}
	conflict, err := r.write(ctx, held, r.complete(seen, statusIn(held)))
	if conflict {
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	}
	return reconcile.Result{}, err
}

// complete adds the findings to an observation. The `held` parameter is the status that the API
// server currently has.
func (r *Reconciler) complete(seen *cluster.Observation, held *v1alpha1.EnforcementStatus) *observation {
	found, checked := r.findings.Of(nameOf(seen.Policy))
	out := &observation{Observation: seen, findings: convertFindings(seen.Policy, found)}
	if !checked && held.ObservedGeneration == seen.Policy.Generation {
		// Keep the findings of the previous operator until lint has checked the policy.
		out.findings = held.Findings
	}
	return out
}

// write writes the status of a policy if the status changed. It returns true if the write
// failed because another client has written or deleted the object, or because the cache
// is outdated. The caller must then requeue the request, so that the next reconciliation reads
// the object again.
func (r *Reconciler) write(ctx context.Context, held client.Object, seen *observation) (conflict bool, err error) {
	before := statusIn(held)
	status := statusOf(before, seen, metav1.Time{Time: time.Now().Truncate(time.Second)})
	if equality.Semantic.DeepEqual(*before, status) {
		return false, nil
	}
	next := held.DeepCopyObject().(client.Object)
	*statusIn(next) = status
	err = r.client.Status().Update(ctx, next)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("writing the status of policy %s: %w", seen.Policy, err)
	}
	return false, nil
}

// retryInterval is the time between a conflict and the next attempt. The retry is necessary: if
// the event of the conflicting write has already been handled, no further event triggers a
// reconciliation, and the status would stay outdated.
const retryInterval = 100 * time.Millisecond

// find returns the status object of a policy. If there is none, find creates it. The result is
// nil if the policy is about to be deleted, or if find deleted an outdated status object.
func (r *Reconciler) find(ctx context.Context, p *policy.Policy) (client.Object, error) {
	held := r.newStatus(p)
	err := r.reader.Get(ctx, nameOf(p), held)
	if apierrors.IsNotFound(err) {
		held = r.newStatus(p)
		err = r.client.Create(ctx, held)
		if apierrors.IsAlreadyExists(err) {
			// The object exists, but the cache does not contain it yet.
			err = r.direct.Get(ctx, nameOf(p), held)
		}
	}
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err):
		// The namespace is being deleted, together with the policy.
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("finding the status of policy %s: %w", p, err)
	case !belongsTo(held, p):
		// This object belongs to an earlier policy with the same name. The deletion event
		// causes the next reconciliation.
		return nil, r.delete(ctx, held)
	}
	return held, nil
}

// belongsTo reports whether a policy owns a status object.
func belongsTo(status client.Object, p *policy.Policy) bool {
	owner := metav1.GetControllerOf(status)
	return owner != nil && owner.UID == types.UID(p.UID)
}

// newStatus returns an empty status object. Its owner is the policy, so that the garbage
// collector deletes the status object after the policy.
func (r *Reconciler) newStatus(p *policy.Policy) client.Object {
	owner := metav1.OwnerReference{
		APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy", Name: p.Name, UID: types.UID(p.UID),
		Controller: ptr.To(true),
	}
	if p.Scope != "" {
		return &v1alpha1.PolicyStatus{ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Scope, Name: p.Name, OwnerReferences: []metav1.OwnerReference{owner},
		}}
	}
	owner.APIVersion, owner.Kind = r.tiers.apiVersion(), clusterpolicy.Kind
	return &v1alpha1.ClusterPolicyStatus{ObjectMeta: metav1.ObjectMeta{Name: p.Name, OwnerReferences: []metav1.OwnerReference{owner}}}
}

// statusIn returns the status in a PolicyStatus or in a ClusterPolicyStatus.
func statusIn(object client.Object) *v1alpha1.EnforcementStatus {
	if cluster, ok := object.(*v1alpha1.ClusterPolicyStatus); ok {
		return &cluster.Status
	}
	return &object.(*v1alpha1.PolicyStatus).Status
}

// remove deletes the status object of a deleted policy. The garbage collector deletes only
// status objects with an owner, but another client may have created a status object without
// one. remove reads the status object into `held`.
func (r *Reconciler) remove(ctx context.Context, held client.Object, name client.ObjectKey) error {
	if err := r.reader.Get(ctx, name, held); err != nil {
		return client.IgnoreNotFound(err)
	}
	return r.delete(ctx, held)
}

func (r *Reconciler) delete(ctx context.Context, held client.Object) error {
	uid := held.GetUID()
	err := r.client.Delete(ctx, held, client.Preconditions{UID: &uid})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting the status of policy %s: %w", client.ObjectKeyFromObject(held), err)
	}
	return nil
}

func nameOf(p *policy.Policy) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Scope, Name: p.Name}
}
