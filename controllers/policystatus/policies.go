package policystatus

import (
	"cmp"
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/policy"
)

// policies indexes all policies by namespace and name. It is safe for concurrent use.
type policies struct {
	mu     sync.RWMutex
	byName map[string]map[string]*policy.Policy
}

func newPolicies() *policies {
	return &policies{byName: map[string]map[string]*policy.Policy{}}
}

// networkPolicy contains the metadata and the parsed form of a NetworkPolicy.
type networkPolicy struct {
	*metav1.ObjectMeta
	// policy is the parsed form. It also contains the errors that were found in the
	// NetworkPolicy.
	policy *policy.Policy
}

func readPolicy(np *networkingv1.NetworkPolicy) networkPolicy {
	p, _ := policy.ReadNetworkPolicy(np)
	return networkPolicy{ObjectMeta: &np.ObjectMeta, policy: p}
}

func (p *policies) set(np networkPolicy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byName[np.Namespace] == nil {
		p.byName[np.Namespace] = map[string]*policy.Policy{}
	}
	p.byName[np.Namespace][np.Name] = np.policy
}

func (p *policies) remove(np metav1.Object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	namespace := np.GetNamespace()
	delete(p.byName[namespace], np.GetName())
	if len(p.byName[namespace]) == 0 {
		delete(p.byName, namespace)
	}
}

// selecting returns the sorted names of the policies that select a pod.
func (p *policies) selecting(pod *policy.Pod) []types.NamespacedName {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var out []types.NamespacedName
	for name, policy := range p.byName[pod.Namespace] {
		if policy.Selects(pod) {
			out = append(out, types.NamespacedName{Namespace: pod.Namespace, Name: name})
		}
	}
	slices.SortFunc(out, func(a, b types.NamespacedName) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// readPod converts a Pod to a policy.Pod. It ignores errors, because agents report them.
func readPod(in *corev1.Pod) *policy.Pod {
	pod, _ := policy.ReadPod(in)
	return pod
}

// reachable reports whether a pod is bound to a node and has an address. The node of such a pod
// must enforce the policies that select the pod.
func reachable(pod *policy.Pod) bool { return pod.Node != "" && len(pod.Addresses) > 0 }

// equivalent reports whether a change of a pod makes no difference for enforcement. This is the
// case if the same policies select the pod before and after the change, and if the same node
// enforces these policies for the same addresses.
func (p *policies) equivalent(before, after *policy.Pod) bool {
	if before.UID != after.UID || before.Node != after.Node || !slices.Equal(before.Addresses, after.Addresses) ||
		before.HostNetwork != after.HostNetwork || before.Finished != after.Finished {
		return false
	}
	return before.Labels == after.Labels || slices.Equal(p.selecting(before), p.selecting(after))
}

func (r *Reconciler) policyEvents() handler.TypedFuncs[*networkingv1.NetworkPolicy, reconcile.Request] {
	changed := func(np *networkingv1.NetworkPolicy, q queue) {
		r.policies.set(readPolicy(np))
		r.revisions.forget(np)
		r.findings.Changed(np.Namespace)
		q.Add(reconcile.Request{NamespacedName: nameOf(np)})
	}
	return handler.TypedFuncs[*networkingv1.NetworkPolicy, reconcile.Request]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*networkingv1.NetworkPolicy], q queue) {
			changed(e.Object, q)
		},
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*networkingv1.NetworkPolicy], q queue) {
			if e.ObjectOld.UID == e.ObjectNew.UID && e.ObjectOld.Generation == e.ObjectNew.Generation {
				r.revisions.keep(e.ObjectOld, e.ObjectNew)
				return
			}
			changed(e.ObjectNew, q)
		},
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*networkingv1.NetworkPolicy], q queue) {
			r.policies.remove(e.Object)
			r.revisions.forget(e.Object)
			r.findings.Changed(e.Object.Namespace)
			q.Add(reconcile.Request{NamespacedName: nameOf(e.Object)})
		},
	}
}
