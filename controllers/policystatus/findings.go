package policystatus

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint"
)

// contents returns the objects of one namespace from the caches, for lint.
func (r *Reconciler) contents(ctx context.Context, namespace string) (lint.Namespace, error) {
	out := lint.Namespace{Policies: r.policies.in(namespace)}
	if len(out.Policies) == 0 {
		return out, nil
	}
	var object corev1.Namespace
	switch err := r.reader.Get(ctx, client.ObjectKey{Name: namespace}, &object); {
	case err == nil:
		read := policy.ReadNamespace(&object)
		out.Object = &read
	case !apierrors.IsNotFound(err):
		return out, fmt.Errorf("reading namespace %s: %w", namespace, err)
	}
	var pods corev1.PodList
	if err := r.reader.List(ctx, &pods, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return out, fmt.Errorf("listing the pods of namespace %s: %w", namespace, err)
	}
	for i := range pods.Items {
		out.Pods = append(out.Pods, readPod(&pods.Items[i]))
	}
	return out, nil
}

// in returns the policies of a namespace.
func (p *policies) in(namespace string) []*policy.Policy {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Collect(maps.Values(p.byName[namespace]))
}
