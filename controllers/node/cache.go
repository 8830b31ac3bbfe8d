package node

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/controllers/reduce"
)

// cacheOptions returns options that let the caches keep only the object parts that the
// reconcilers read. The caches and the snapshot share the memory of these parts.
func cacheOptions() cache.Options {
	return cache.Options{ByObject: map[client.Object]cache.ByObject{
		&corev1.Pod{}:                 reduce.With(podRead),
		&corev1.Namespace{}:           reduce.With(reduce.Namespace),
		&corev1.Node{}:                reduce.With(reduce.Node),
		&networkingv1.NetworkPolicy{}: reduce.With(reduce.NetworkPolicy),
	}}
}
