package operator

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods;namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=policystatuses,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=policystatuses/status,verbs=update

// policyWorkers is how many policies are written at once: a new operator in a
// cluster with thousands of policies waits for the API server most of the time.
const policyWorkers = 4

// policyStatusReconciler keeps one PolicyStatus for each NetworkPolicy.
type policyStatusReconciler struct {
	// reader reads the caches, direct the API server.
	reader, direct client.Reader
	client         client.Client
	// began is when the reconciler began to work.
	began time.Time

	subjects    *subjects
	revisions   *revisions
	enforcement *enforcement
	findings    *findings
}

// addPolicyStatus lets a manager run the reconciler of PolicyStatus. Its caches
// need the options of cachedObjects.
func addPolicyStatus(mgr manager.Manager, log logr.Logger) error {
	r := &policyStatusReconciler{
		reader: mgr.GetCache(), direct: mgr.GetAPIReader(), client: mgr.GetClient(),
		subjects: newSubjects(), revisions: newRevisions(), enforcement: newEnforcement(),
		findings: newFindings(mgr.GetCache(), log),
	}
	c, err := controller.New("policystatus", mgr, controller.Options{
		Reconciler: r, MaxConcurrentReconciles: policyWorkers,
		// Tests run several operators in one process, one after the other.
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

// Reconcile brings one PolicyStatus up to date.
func (r *policyStatusReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var np networkingv1.NetworkPolicy
	err := r.reader.Get(ctx, request.NamespacedName, &np)
	switch {
	case apierrors.IsNotFound(err):
		r.enforcement.need(request.NamespacedName, nil)
		return reconcile.Result{}, r.remove(ctx, request.NamespacedName)
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("reading policy %s: %w", request, err)
	}
	held, err := r.find(ctx, &np)
	if err != nil || held == nil {
		return reconcile.Result{}, err
	}
	seen, err := r.observe(ctx, &np, &held.Status)
	if err != nil {
		return reconcile.Result{}, err
	}
	var again reconcile.Result
	if left := r.startLeft(); left > 0 && seen.onlyBehind(&held.Status) {
		seen.lags, again.RequeueAfter = nil, left
	}
	next := held.DeepCopy()
	next.Status = policyStatus(&held.Status, seen, metav1.Time{Time: time.Now().Truncate(time.Second)})
	if equality.Semantic.DeepEqual(held.Status, next.Status) {
		return again, nil
	}
	err = r.client.Status().Update(ctx, next)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		// Somebody else wrote it, or the cache is behind: the event of that write
		// would do, but may have come before.
		return reconcile.Result{RequeueAfter: retryInterval}, nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("writing PolicyStatus %s: %w", request, err)
	}
	return again, nil
}

// startTime is how long an operator that starts believes what one before wrote.
// It cannot tell which resource versions of pods mean something new, and agents
// tell within 12 seconds that they contain them.
const startTime = 15 * time.Second

// startLeft gives what is left of startTime.
func (r *policyStatusReconciler) startLeft() time.Duration { return startTime - time.Since(r.began) }

// retryInterval is the time to the next try after somebody else's write.
const retryInterval = 100 * time.Millisecond

// observe finds out what is known of a policy.
func (r *policyStatusReconciler) observe(ctx context.Context, np *networkingv1.NetworkPolicy, held *v1alpha1.PolicyStatusStatus) (*observation, error) {
	var pods corev1.PodList
	err := r.reader.List(ctx, &pods, client.InNamespace(np.Namespace), client.MatchingLabelsSelector{Selector: selectorOf(np)})
	if err != nil {
		return nil, fmt.Errorf("listing the pods of policy %s/%s: %w", np.Namespace, np.Name, err)
	}
	out := &observation{policy: np}
	wants := map[string]versions{}
	this := r.revisions.of(np)
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !judged(pod) {
			continue
		}
		out.pods++
		if !reachable(pod) {
			continue
		}
		wants[pod.Spec.NodeName] = wants[pod.Spec.NodeName].newest(versions{policies: this, pods: r.revisions.of(pod)})
	}
	out.nodes = len(wants)
	out.lags = r.enforcement.need(client.ObjectKeyFromObject(np), wants)
	found, known := r.findings.of(client.ObjectKeyFromObject(np))
	out.findings = findingsOf(np, found)
	if !known && held.ObservedGeneration == np.Generation {
		// Until policies are looked at, what was found by an operator before holds.
		out.findings = held.Findings
	}
	return out, nil
}

// find gives the PolicyStatus of a policy, and makes it if there is none. It
// gives nil for a policy that is about to go.
func (r *policyStatusReconciler) find(ctx context.Context, np *networkingv1.NetworkPolicy) (*v1alpha1.PolicyStatus, error) {
	held := &v1alpha1.PolicyStatus{}
	err := r.reader.Get(ctx, client.ObjectKeyFromObject(np), held)
	if apierrors.IsNotFound(err) {
		held = newPolicyStatus(np)
		err = r.client.Create(ctx, held)
		if apierrors.IsAlreadyExists(err) {
			// The cache is behind.
			err = r.direct.Get(ctx, client.ObjectKeyFromObject(np), held)
		}
	}
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err):
		// The namespace goes, and the policy with it.
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("finding PolicyStatus %s/%s: %w", np.Namespace, np.Name, err)
	case !metav1.IsControlledBy(held, np):
		// It is of a policy before, of the same name. Deleting it brings the next
		// reconciliation.
		return nil, r.delete(ctx, held)
	}
	return held, nil
}

// newPolicyStatus gives an empty PolicyStatus that goes with its policy.
func newPolicyStatus(np *networkingv1.NetworkPolicy) *v1alpha1.PolicyStatus {
	return &v1alpha1.PolicyStatus{ObjectMeta: metav1.ObjectMeta{
		Namespace: np.Namespace, Name: np.Name,
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy", Name: np.Name, UID: np.UID,
			Controller: ptr.To(true),
		}},
	}}
}

// remove deletes the PolicyStatus of a policy that is gone. The garbage
// collector would, too, but not one that has no owner.
func (r *policyStatusReconciler) remove(ctx context.Context, name client.ObjectKey) error {
	var held v1alpha1.PolicyStatus
	if err := r.reader.Get(ctx, name, &held); err != nil {
		return client.IgnoreNotFound(err)
	}
	return r.delete(ctx, &held)
}

func (r *policyStatusReconciler) delete(ctx context.Context, held *v1alpha1.PolicyStatus) error {
	err := r.client.Delete(ctx, held, client.Preconditions{UID: &held.UID})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting PolicyStatus %s/%s: %w", held.Namespace, held.Name, err)
	}
	return nil
}
