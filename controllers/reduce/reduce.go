// Package reduce makes caches keep only the parts of objects that policies can refer
// to. Programs that watch every pod of a cluster need it: managed fields, annotations,
// volumes, environment variables and conditions are nine tenths of a typical Pod.
package reduce

import (
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// With returns options for a cache that stores the results of a function instead of
// objects. The cache returns them without a copy, so they must not be changed.
func With[T, Kept any](reduce func(*T) Kept) cache.ByObject {
	share := true
	return cache.ByObject{Transform: transform(reduce), UnsafeDisableDeepCopy: &share}
}

// transform returns values of other types unchanged: tombstones of deleted objects,
// and objects that are reduced already.
func transform[T, Kept any](reduce func(*T) Kept) toolscache.TransformFunc {
	return func(in any) (any, error) {
		if object, ok := in.(*T); ok {
			return reduce(object), nil
		}
		return in, nil
	}
}
