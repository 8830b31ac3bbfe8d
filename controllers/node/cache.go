package node

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/controllers/clusterpolicy"
	"github.com/sluicenet/sluice/controllers/podranges"
	"github.com/sluicenet/sluice/controllers/reduce"
)

// cacheOptions returns the options of the caches. The caches keep only the object parts that the
// reconcilers read, and share the memory of these parts with the snapshot. The caches contain only
// the agent's own Node, and only the ConfigMap with the pod ranges. Otherwise, the total number of
// requests of all agents would grow with the square of the number of nodes.
func cacheOptions(o Options) cache.Options {
	node := reduce.With(reduce.Node)
	node.Field = named(o.Node)
	ranges := cache.ByObject{
		Namespaces: map[string]cache.Config{o.Namespace: {FieldSelector: named(podranges.Name)}},
		Transform:  cache.TransformStripManagedFields(),
	}
	return cache.Options{ByObject: map[client.Object]cache.ByObject{
		&corev1.Pod{}:                 reduce.With(podRead),
		&corev1.Namespace{}:           reduce.With(reduce.Namespace),
		&corev1.Node{}:                node,
		&corev1.ConfigMap{}:           ranges,
		&networkingv1.NetworkPolicy{}: reduce.With(reduce.NetworkPolicy),
		clusterpolicy.NewDefinition(): clusterpolicy.CachedDefinition(),
	}}
}

// named returns a field selector that selects the object with the given name.
func named(name string) fields.Selector {
	return fields.OneTermEqualSelector(metav1.ObjectNameField, name)
}
