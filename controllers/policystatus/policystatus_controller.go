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
	"github.com/sluicenet/sluice/controllers/policystatus/cluster"
	"github.com/sluicenet/sluice/controllers/policystatus/findings"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
)

// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods;namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=policystatuses,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=policystatuses/status,verbs=update

// workers is the number of concurrent reconciliations. It is above 1 because an operator that
// starts in a cluster with thousands of policies spends most of its time waiting for the API
// server.
const workers = 4

// Reconciler maintains one PolicyStatus for each NetworkPolicy.
type Reconciler struct {
	// reader reads from the caches. direct reads from the API server.
	reader, direct client.Reader
	client         client.Client

	// active reports whether the reconciler may write.
	active func(context.Context) (bool, error)

	index    *cluster.Index
	findings *findings.Findings
	// filled is closed by the first reconciliation. The workers start after the index contains
	// all objects of the first lists, so that no status is computed from only some of the
	// objects.
	filled    chan struct{}
	closeOnce sync.Once
}

// SetupWithManager adds the reconciler of PolicyStatus to a manager. The caches of the
// manager must be created with the options of CachedObjects. While the function active returns
// false, the reconciler writes nothing.
func SetupWithManager(mgr manager.Manager, active func(context.Context) (bool, error), log logr.Logger) error {
	r := &Reconciler{
		reader: mgr.GetCache(), direct: mgr.GetAPIReader(), client: mgr.GetClient(), active: active,
		index: cluster.New(), filled: make(chan struct{}),
	}
	r.findings = findings.New(func(_ context.Context, namespace string) (lint.Namespace, error) {
		return r.index.Contents(namespace), nil
	}, log)
	c, err := controller.New("policystatus", mgr, controller.Options{
		Reconciler: r, MaxConcurrentReconciles: workers,
		// Tests run several operators in one process, one after the other, with the same name.
		SkipNameValidation: ptr.To(true),
	})
	if err != nil {
		return fmt.Errorf("preparing the controller of PolicyStatus: %w", err)
	}
	for _, s := range r.sources(mgr.GetCache()) {
		if err := c.Watch(s); err != nil {
			return fmt.Errorf("preparing the watches of PolicyStatus: %w", err)
		}
	}
	return nil
}

// inactiveInterval is the time after which an inactive reconciler checks again whether it is
// active.
const inactiveInterval = time.Minute

// Reconcile updates the PolicyStatus of one policy.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	r.closeOnce.Do(func() { close(r.filled) })
	if active, err := r.active(ctx); err != nil || !active {
		return reconcile.Result{RequeueAfter: inactiveInterval}, err
	}
	seen := r.index.Observe(request.NamespacedName)
	if seen == nil {
		return reconcile.Result{}, r.remove(ctx, request.NamespacedName)
	}
	held, err := r.find(ctx, seen.Policy)
	if err != nil || held == nil {
		return reconcile.Result{}, err
	}
	conflict, err := r.write(ctx, held, r.complete(seen, &held.Status))
	if conflict {
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	}
	return reconcile.Result{}, err
}

// complete adds the findings to an observation. The parameter held is the status that the
// PolicyStatus currently has in the API server.
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
// failed because another client has written or deleted the PolicyStatus, or because the cache
// is outdated. The caller must then requeue the request, so that the next reconciliation reads
// the PolicyStatus again.
func (r *Reconciler) write(ctx context.Context, held *v1alpha1.PolicyStatus, seen *observation) (conflict bool, err error) {
	next := held.DeepCopy()
	next.Status = statusOf(&held.Status, seen, metav1.Time{Time: time.Now().Truncate(time.Second)})
	if equality.Semantic.DeepEqual(held.Status, next.Status) {
		return false, nil
	}
	err = r.client.Status().Update(ctx, next)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("writing PolicyStatus %s: %w", client.ObjectKeyFromObject(held), err)
	}
	return false, nil
}

// retryInterval is the time between a conflict and the next attempt. The retry is necessary: if
// the event of the conflicting write has already been handled, no further event triggers a
// reconciliation, and the status would stay outdated.
const retryInterval = 100 * time.Millisecond

// find returns the PolicyStatus of a policy. If there is none, find creates it. The result is
// nil if the policy is about to be deleted, or if find deleted an outdated PolicyStatus.
func (r *Reconciler) find(ctx context.Context, p *policy.Policy) (*v1alpha1.PolicyStatus, error) {
	held := &v1alpha1.PolicyStatus{}
	err := r.reader.Get(ctx, nameOf(p), held)
	if apierrors.IsNotFound(err) {
		held = newPolicyStatus(p)
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
		return nil, fmt.Errorf("finding PolicyStatus %s/%s: %w", p.Scope, p.Name, err)
	case !belongsTo(held, p):
		// This PolicyStatus belongs to an earlier policy with the same name. The deletion event
		// causes the next reconciliation.
		return nil, r.delete(ctx, held)
	}
	return held, nil
}

// belongsTo reports whether a policy owns a PolicyStatus.
func belongsTo(s *v1alpha1.PolicyStatus, p *policy.Policy) bool {
	owner := metav1.GetControllerOf(s)
	return owner != nil && owner.UID == types.UID(p.UID)
}

// newPolicyStatus returns an empty PolicyStatus. Its owner is the policy, so that the garbage
// collector deletes the PolicyStatus after the policy.
func newPolicyStatus(p *policy.Policy) *v1alpha1.PolicyStatus {
	return &v1alpha1.PolicyStatus{ObjectMeta: metav1.ObjectMeta{
		Namespace: p.Scope, Name: p.Name,
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy", Name: p.Name, UID: types.UID(p.UID),
			Controller: ptr.To(true),
		}},
	}}
}

// remove deletes the PolicyStatus of a deleted policy. This is necessary because the
// garbage collector does not delete a PolicyStatus without an owner, which another
// client may have created.
func (r *Reconciler) remove(ctx context.Context, name client.ObjectKey) error {
	var held v1alpha1.PolicyStatus
	if err := r.reader.Get(ctx, name, &held); err != nil {
		return client.IgnoreNotFound(err)
	}
	return r.delete(ctx, &held)
}

func (r *Reconciler) delete(ctx context.Context, held *v1alpha1.PolicyStatus) error {
	err := r.client.Delete(ctx, held, client.Preconditions{UID: &held.UID})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting PolicyStatus %s/%s: %w", held.Namespace, held.Name, err)
	}
	return nil
}

func nameOf(p *policy.Policy) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Scope, Name: p.Name}
}
