// Package reduce provides functions that let caches keep only the object parts to which
// policies can refer. This saves memory in programs that watch every pod of a cluster: managed
// fields, annotations, volumes, environment variables and conditions make up nine tenths of a
// typical Pod.
package reduce

import (
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// With returns cache options. The cache stores the result of the function `reduce` instead of the
// object. The cache returns the stored objects without copying them, so callers must not modify
// them.
func With[T, Kept any](reduce func(*T) Kept) cache.ByObject {
	share := true
	return cache.ByObject{Transform: transform(reduce), UnsafeDisableDeepCopy: &share}
}

// transform returns a transform function for a cache. The function changes only values of type *T.
// Other values are, for example, tombstones of deleted objects and objects that are already
// reduced.
func transform[T, Kept any](reduce func(*T) Kept) toolscache.TransformFunc {
	return func(in any) (any, error) {
		if object, ok := in.(*T); ok {
			return reduce(object), nil
		}
		return in, nil
	}
}
