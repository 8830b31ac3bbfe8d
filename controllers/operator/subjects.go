package operator

import (
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// subjects know which policies select a pod.
type subjects struct {
	mu sync.RWMutex
	// selectors are those of the policies, by namespace and name.
	selectors map[string]map[string]labels.Selector
}

func newSubjects() *subjects {
	return &subjects{selectors: map[string]map[string]labels.Selector{}}
}

// selectorOf gives the selector of a policy.
func selectorOf(np *networkingv1.NetworkPolicy) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(&np.Spec.PodSelector)
	if err != nil {
		// The API server admits no such selector.
		return labels.Nothing()
	}
	return selector
}

func (s *subjects) set(np *networkingv1.NetworkPolicy) {
	selector := selectorOf(np)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.selectors[np.Namespace] == nil {
		s.selectors[np.Namespace] = map[string]labels.Selector{}
	}
	s.selectors[np.Namespace][np.Name] = selector
}

func (s *subjects) remove(np *networkingv1.NetworkPolicy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.selectors[np.Namespace], np.Name)
	if len(s.selectors[np.Namespace]) == 0 {
		delete(s.selectors, np.Namespace)
	}
}

// all gives every policy.
func (s *subjects) all() []types.NamespacedName {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []types.NamespacedName
	for namespace, selectors := range s.selectors {
		for name := range selectors {
			out = append(out, types.NamespacedName{Namespace: namespace, Name: name})
		}
	}
	return out
}

// selecting gives the policies that select a pod.
func (s *subjects) selecting(pod *corev1.Pod) map[types.NamespacedName]struct{} {
	if !judged(pod) {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[types.NamespacedName]struct{}{}
	for name, selector := range s.selectors[pod.Namespace] {
		if selector.Matches(labels.Set(pod.Labels)) {
			out[types.NamespacedName{Namespace: pod.Namespace, Name: name}] = struct{}{}
		}
	}
	return out
}

// judged reports whether policies can select a pod: it is in the pod network
// and has not ended.
func judged(pod *corev1.Pod) bool {
	return !pod.Spec.HostNetwork && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// reachable reports whether a pod has an address, from which on its node has
// something to enforce.
func reachable(pod *corev1.Pod) bool {
	return pod.Spec.NodeName != "" && (pod.Status.PodIP != "" || len(pod.Status.PodIPs) > 0)
}

// sameToPolicies reports whether two states of a pod are selected by the same
// policies, and enforced alike.
func (s *subjects) sameToPolicies(before, after *corev1.Pod) bool {
	if before.UID != after.UID || before.Spec.NodeName != after.Spec.NodeName || before.Status.PodIP != after.Status.PodIP ||
		!slices.Equal(before.Status.PodIPs, after.Status.PodIPs) || judged(before) != judged(after) {
		return false
	}
	return maps.Equal(before.Labels, after.Labels) || maps.Equal(s.selecting(before), s.selecting(after))
}
