package cluster

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Step applies a random event to the cluster and returns the resulting changes. Most events
// cause one change. If an event moves an address from one pod to another, it causes two
// changes. If the cluster contains no object to which the event can apply, Step returns no
// change.
func (r *Random) Step() []Change {
	changes := r.next()
	for _, c := range changes {
		r.Apply(c)
	}
	return changes
}

func (r *Random) next() []Change {
	if r.tiers && r.choose(4) == 3 {
		return r.nextOfTiers()
	}
	switch r.choose(20) {
	case 0, 1, 16, 17, 18:
		return r.changePod(func(pod *corev1.Pod) { r.relabel(pod.Labels) })
	case 2:
		return r.changeNamespace(func(namespace *corev1.Namespace) { r.relabel(namespace.Labels) })
	case 3, 19:
		return []Change{{Object: r.policy(r.policyKey())}}
	case 4:
		return deleteOne(r, r.Policies)
	case 5:
		return []Change{{Object: r.pod(r.podKey())}}
	case 6:
		return deleteOne(r, r.Pods)
	case 7:
		return []Change{{Object: r.namespace(pick(r.choose, namespaceNames))}}
	case 8:
		return deleteOne(r, r.Namespaces)
	case 9:
		return []Change{{Object: r.node(pick(r.choose, nodeNames[:3]))}}
	case 10:
		return deleteOne(r, r.Nodes)
	case 11:
		return r.changePod(func(pod *corev1.Pod) { pod.Status.Phase = pick(r.choose, phases) })
	case 12:
		return r.changePod(r.setAddresses)
	case 13:
		return r.moveAddresses()
	case 14:
		return r.changePod(func(pod *corev1.Pod) { pod.Spec.Containers[0].Ports = r.containerPorts() })
	default:
		return r.changePod(func(*corev1.Pod) {}) // This change replaces the pod with an identical pod.
	}
}

func (r *Random) relabel(labels map[string]string) {
	key := pick(r.choose, labelKeys)
	if value := r.choose(len(labelValues) + 1); value > 0 {
		labels[key] = labelValues[value-1]
	} else {
		delete(labels, key)
	}
}

func (r *Random) changePod(change func(*corev1.Pod)) []Change {
	if len(r.Pods) == 0 {
		return nil
	}
	pod := pick(r.choose, r.Pods).DeepCopy()
	change(pod)
	return []Change{{Object: pod}}
}

func (r *Random) changeNamespace(change func(*corev1.Namespace)) []Change {
	if len(r.Namespaces) == 0 {
		return nil
	}
	namespace := pick(r.choose, r.Namespaces).DeepCopy()
	change(namespace)
	return []Change{{Object: namespace}}
}

// moveAddresses deletes one pod and assigns its addresses to another pod. At random, either the
// deletion or the assignment is the first change, because a watch can deliver the two events in
// either order.
func (r *Random) moveAddresses() []Change {
	if len(r.Pods) < 2 {
		return nil
	}
	from := pick(r.choose, r.Pods)
	to := pick(r.choose, r.Pods).DeepCopy()
	if from.Name == to.Name && from.Namespace == to.Namespace {
		return nil
	}
	to.Status.PodIP, to.Status.PodIPs = from.Status.PodIP, from.Status.PodIPs
	if r.half() {
		return []Change{{Object: to}, {Object: from, Deleted: true}}
	}
	return []Change{{Object: from, Deleted: true}, {Object: to}}
}

func deleteOne[T metav1.Object](r *Random, list []T) []Change {
	if len(list) == 0 {
		return nil
	}
	return []Change{{Object: pick(r.choose, list), Deleted: true}}
}
