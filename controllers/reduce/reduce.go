// Package reduce lets caches keep of objects only what policies are made of.
// Whoever follows every pod of a cluster needs it: managed fields, annotations,
// volumes, environments and conditions are nine tenths of a usual Pod.
package reduce

import (
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// With gives options for a cache that keeps what a function makes of an object.
// What it keeps is handed out as it lies there, uncopied, and must not be changed.
func With[T, Kept any](reduce func(*T) Kept) cache.ByObject {
	share := true
	return cache.ByObject{Transform: transform(reduce), UnsafeDisableDeepCopy: &share}
}

// transform lets pass what is of another type: the mark of a deleted object, and
// what was reduced before.
func transform[T, Kept any](reduce func(*T) Kept) toolscache.TransformFunc {
	return func(in any) (any, error) {
		if object, ok := in.(*T); ok {
			return reduce(object), nil
		}
		return in, nil
	}
}
