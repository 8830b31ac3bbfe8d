package policystatus

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/clusterpolicy"
	"github.com/sluicenet/sluice/controllers/ondemand"
	"github.com/sluicenet/sluice/controllers/policystatus/cluster"
	"github.com/sluicenet/sluice/controllers/policystatus/findings"
	"github.com/sluicenet/sluice/controllers/reduce"
)

// +kubebuilder:rbac:groups=policy.networking.k8s.io,resources=clusternetworkpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy.networking.k8s.io,resources=clusternetworkpolicies/status,verbs=patch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=clusternetworkpolicies.policy.networking.k8s.io,verbs=get;list;watch

// tiers watches ClusterNetworkPolicies while the API server serves them, and maintains the index.
type tiers struct {
	config    *rest.Config
	transport *http.Client
	index     *cluster.Index
	findings  *findings.Findings
	log       logr.Logger
	served    *clusterpolicy.Served
	pace      pace

	mu sync.Mutex
	// loaded is the API version whose ClusterNetworkPolicies are all in the index. It is empty
	// if the API server does not serve ClusterNetworkPolicies.
	loaded string
	// reported contains the condition that each policy currently has.
	reported map[string]*metav1.Condition
}

func newTiers(mgr manager.Manager, index *cluster.Index, found *findings.Findings, log logr.Logger) *tiers {
	return &tiers{
		config: mgr.GetConfig(), transport: mgr.GetHTTPClient(), index: index, findings: found, log: log,
		served: clusterpolicy.NewServed(), reported: map[string]*metav1.Condition{},
	}
}

// reconcileCluster updates the ClusterPolicyStatus and the condition of one ClusterNetworkPolicy.
func (r *Reconciler) reconcileCluster(ctx context.Context, name string) (reconcile.Result, error) {
	if !r.tiers.complete() {
		return reconcile.Result{RequeueAfter: loadInterval}, nil
	}
	if wait := r.tiers.pace.wait(time.Now()); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	key := types.NamespacedName{Name: name}
	began := time.Now()
	seen := r.index.Observe(key)
	r.tiers.pace.done(began, time.Now())
	if seen == nil {
		return reconcile.Result{}, r.remove(ctx, &v1alpha1.ClusterPolicyStatus{}, key)
	}
	if err := r.setCondition(ctx, seen); err != nil {
		return reconcile.Result{}, err
	}
	return r.report(ctx, seen)
}

// loadInterval is the time after which a reconciliation checks again whether all
// ClusterNetworkPolicies have been read. Before that, the reconciliation would delete the
// ClusterPolicyStatuses of policies that have not been read yet.
const loadInterval = time.Second

// complete reports whether the index contains all ClusterNetworkPolicies.
func (t *tiers) complete() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.loaded == t.served.Version()
}

func (t *tiers) setLoaded(version string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loaded = version
}

// apiVersion returns the group and version in which policies are read.
func (t *tiers) apiVersion() string {
	return schema.GroupVersion{Group: clusterpolicy.Group, Version: t.served.Version()}.String()
}

func (t *tiers) definitionEvents() events {
	return events{
		CreateFunc: func(_ context.Context, e event.CreateEvent, _ queue) {
			t.served.Set(e.Object.(*clusterpolicy.Definition))
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ queue) {
			t.served.Set(e.ObjectNew.(*clusterpolicy.Definition))
		},
		DeleteFunc: func(context.Context, event.DeleteEvent, queue) { t.served.Remove() },
	}
}

// run watches the policies until the context ends.
func (t *tiers) run(ctx context.Context, q queue) {
	ondemand.Demand{
		Key: t.served.Version, Changed: t.served.Changed(),
		Run: func(ctx context.Context, version string) {
			if err := t.watch(ctx, version, q); err != nil {
				t.log.Error(err, "ClusterNetworkPolicies cannot be read")
			}
		},
		Ended: func() {
			t.removeUnless(q, func(string) bool { return false })
			t.setLoaded("")
		},
	}.Serve(ctx)
}

// watch watches the policies in one version until the context ends.
func (t *tiers) watch(ctx context.Context, version string, q queue) error {
	from, err := clusterpolicy.NewCache(t.config, t.transport, version, reduce.With(reportedPolicyOf), t.watchFailed)
	if err != nil {
		return err
	}
	informer, err := from.GetInformer(ctx, clusterpolicy.NewObject(version), cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("ClusterNetworkPolicy informer: %w", err)
	}
	shared, ok := informer.(toolscache.SharedIndexInformer)
	if !ok {
		return fmt.Errorf("%T has no store", informer)
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(added any, _ bool) { t.set(nil, added.(*reportedPolicy), q) },
		UpdateFunc: func(before, after any) { t.set(before.(*reportedPolicy), after.(*reportedPolicy), q) },
		DeleteFunc: func(deleted any) {
			if unseen, ok := deleted.(toolscache.DeletedFinalStateUnknown); ok {
				deleted = unseen.Obj
			}
			t.delete(deleted.(client.Object).GetName(), q)
		},
	})
	if err != nil {
		return fmt.Errorf("watching ClusterNetworkPolicies: %w", err)
	}
	go func() {
		if toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			t.removeUnless(q, func(name string) bool {
				_, exists, err := shared.GetStore().GetByKey(name)
				return exists && err == nil
			})
			t.setLoaded(version)
		}
	}()
	return from.Start(ctx)
}

func (t *tiers) watchFailed(_ context.Context, _ *toolscache.Reflector, err error) {
	t.log.V(1).Info("Watch ended", "kind", clusterpolicy.Kind, "reason", err.Error())
}

// set records a policy and the condition that it has. The `before` parameter is nil for a new policy.
func (t *tiers) set(before, after *reportedPolicy, q queue) {
	key := types.NamespacedName{Name: after.GetName()}
	t.mu.Lock()
	t.reported[key.Name] = after.condition
	t.mu.Unlock()
	same := before != nil && before.Policy.UID == after.Policy.UID && before.Policy.Generation == after.Policy.Generation
	if !same {
		t.index.SetPolicy(after.Policy)
		t.findings.Changed(key.Namespace)
	}
	if !same || !sameCondition(before.condition, after.condition) {
		enqueue(q, []types.NamespacedName{key}, 0)
	}
}

func (t *tiers) delete(name string, q queue) {
	t.mu.Lock()
	delete(t.reported, name)
	t.mu.Unlock()
	key := types.NamespacedName{Name: name}
	t.index.RemovePolicy(key)
	t.findings.Changed(key.Namespace)
	enqueue(q, []types.NamespacedName{key}, 0)
}

// removeUnless removes the policies for which the function `keep` returns false.
func (t *tiers) removeUnless(q queue, keep func(name string) bool) {
	for _, key := range t.index.ClusterPolicies() {
		if !keep(key.Name) {
			t.delete(key.Name, q)
		}
	}
}

// condition returns the condition that a policy has, or nil.
func (t *tiers) condition(name string) *metav1.Condition {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reported[name]
}

// reportedPolicy is a ClusterNetworkPolicy in parsed form, with the condition that the operator
// writes.
type reportedPolicy struct {
	*reduce.CompactPolicy
	// condition is nil if the policy does not have the condition.
	condition *metav1.Condition
}

// DeepCopyObject returns a copy that shares the parts that never change.
func (p *reportedPolicy) DeepCopyObject() runtime.Object {
	out := *p
	return &out
}

func reportedPolicyOf(in *unstructured.Unstructured) *reportedPolicy {
	return &reportedPolicy{CompactPolicy: reduce.ClusterPolicy(in), condition: conditionIn(in)}
}
