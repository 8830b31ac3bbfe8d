package node

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch

// podReconciler keeps the pods of the world.
type podReconciler struct{ reconciler }

// Reconcile brings the world to the state of one pod.
func (r *podReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	return reconcile.Result{}, r.world.apply(r.changes, request.NamespacedName, func(s *policy.Snapshot) error {
		var pod corev1.Pod
		err := r.reader.Get(ctx, request.NamespacedName, &pod)
		switch {
		case apierrors.IsNotFound(err):
			s.DeletePod(request.Namespace, request.Name)
			r.faults.none(request.NamespacedName)
			return nil
		case err != nil:
			return fmt.Errorf("reading pod %s: %w", request, err)
		}
		r.upsert(s, &pod)
		return nil
	})
}

// list applies every pod of the cache.
func (r *podReconciler) list(ctx context.Context, s *policy.Snapshot) error {
	var pods corev1.PodList
	if err := r.reader.List(ctx, &pods); err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	for i := range pods.Items {
		r.upsert(s, &pods.Items[i])
	}
	return nil
}

// upsert sets a pod's state. What of it cannot be read is reported and left
// out: the pod is judged by its other addresses and ports.
func (r *podReconciler) upsert(s *policy.Snapshot, in *corev1.Pod) {
	pod, err := policy.PodOf(in)
	if err != nil {
		r.faults.note(in, err)
		if pod, err = policy.PodOf(readablePod(in)); err != nil {
			s.DeletePod(in.Namespace, in.Name)
			return
		}
	} else {
		r.faults.none(keyOf(in))
	}
	s.UpsertPod(pod)
}

// readablePod is a pod without the addresses and ports that cannot be read.
func readablePod(in *corev1.Pod) *corev1.Pod {
	readable := func(part corev1.Pod) bool {
		_, err := policy.PodOf(&part)
		return err == nil
	}
	out := *in
	out.Status.PodIPs, out.Status.HostIPs = nil, nil
	if !readable(corev1.Pod{Status: corev1.PodStatus{PodIP: in.Status.PodIP}}) {
		out.Status.PodIP = ""
	}
	for _, ip := range in.Status.PodIPs {
		if readable(corev1.Pod{Status: corev1.PodStatus{PodIP: ip.IP}}) {
			out.Status.PodIPs = append(out.Status.PodIPs, ip)
		}
	}
	if !readable(corev1.Pod{Status: corev1.PodStatus{HostIP: in.Status.HostIP}}) {
		out.Status.HostIP = ""
	}
	for _, ip := range in.Status.HostIPs {
		if readable(corev1.Pod{Status: corev1.PodStatus{HostIP: ip.IP}}) {
			out.Status.HostIPs = append(out.Status.HostIPs, ip)
		}
	}
	containers := func(all []corev1.Container) (kept []corev1.Container) {
		for i := range all {
			c := all[i]
			c.Ports = nil
			for _, port := range all[i].Ports {
				one := []corev1.Container{{Ports: []corev1.ContainerPort{port}}}
				if readable(corev1.Pod{Spec: corev1.PodSpec{Containers: one}}) {
					c.Ports = append(c.Ports, port)
				}
			}
			kept = append(kept, c)
		}
		return kept
	}
	out.Spec.Containers = containers(in.Spec.Containers)
	out.Spec.InitContainers = containers(in.Spec.InitContainers)
	return &out
}
