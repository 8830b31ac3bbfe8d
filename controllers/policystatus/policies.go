package policystatus

import (
	"cmp"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/policy"
)

// policies is an index of all policies by namespace and name. It is safe for
// concurrent use.
type policies struct {
	mu     sync.RWMutex
	byName map[string]map[string]*policy.Policy
}

func newPolicies() *policies {
	return &policies{byName: map[string]map[string]*policy.Policy{}}
}

// readPolicy returns what a NetworkPolicy means. Its errors are in the field
// Errors.
func readPolicy(np *networkingv1.NetworkPolicy) *policy.Policy {
	p, _ := policy.ReadNetworkPolicy(np)
	return p
}

func (p *policies) set(np *networkingv1.NetworkPolicy) {
	read := readPolicy(np)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byName[np.Namespace] == nil {
		p.byName[np.Namespace] = map[string]*policy.Policy{}
	}
	p.byName[np.Namespace][np.Name] = read
}

func (p *policies) remove(np *networkingv1.NetworkPolicy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byName[np.Namespace], np.Name)
	if len(p.byName[np.Namespace]) == 0 {
		delete(p.byName, np.Namespace)
	}
}

// all returns the names of all policies.
func (p *policies) all() []types.NamespacedName {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var out []types.NamespacedName
	for namespace, policies := range p.byName {
		for name := range policies {
			out = append(out, types.NamespacedName{Namespace: namespace, Name: name})
		}
	}
	return out
}

// selecting returns the names of the policies that select a pod, sorted.
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

// readPod returns what a Pod means. Agents report the parts that cannot be
// understood.
func readPod(in *corev1.Pod) *policy.Pod {
	pod, _ := policy.ReadPod(in)
	return pod
}

// reachable reports whether a pod runs on a node and has an address. From then on
// the node has to enforce the policies that select the pod.
func reachable(pod *policy.Pod) bool { return pod.Node != "" && len(pod.Addresses) > 0 }

// equivalent reports whether the same policies select two states of a pod, and
// whether the same node enforces them for the same addresses.
func (p *policies) equivalent(before, after *policy.Pod) bool {
	if before.UID != after.UID || before.Node != after.Node || !slices.Equal(before.Addresses, after.Addresses) ||
		before.HostNetwork != after.HostNetwork || before.Finished != after.Finished {
		return false
	}
	return before.Labels == after.Labels || slices.Equal(p.selecting(before), p.selecting(after))
}
