package clusterpolicy

import (
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// NewObject returns an empty ClusterNetworkPolicy of the given API version.
func NewObject(version string) *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(schema.GroupVersionKind{Group: Group, Version: version, Kind: Kind})
	return out
}

// NewCache returns a cache for ClusterNetworkPolicies of one API version. The options `o` define
// the form in which the cache stores the policies. Each time the cache cannot list or watch the
// policies, it calls the function `failed` with the error.
func NewCache(config *rest.Config, transport *http.Client, version string, o cache.ByObject, failed toolscache.WatchErrorHandlerWithContext) (cache.Cache, error) {
	object := NewObject(version)
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(object.GroupVersionKind(), meta.RESTScopeRoot)
	out, err := cache.New(config, cache.Options{
		HTTPClient: transport, Mapper: mapper, DefaultWatchErrorHandler: failed,
		ByObject: map[client.Object]cache.ByObject{object: o},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing a cache of ClusterNetworkPolicies: %w", err)
	}
	return out, nil
}
