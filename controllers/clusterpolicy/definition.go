package clusterpolicy

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/sluicenet/sluice/controllers/reduce"
	"github.com/sluicenet/sluice/policy/read"
)

// Group and Kind identify ClusterNetworkPolicies. Resource is their name in request paths.
const (
	Group    = read.Group
	Kind     = "ClusterNetworkPolicy"
	Resource = "clusternetworkpolicies"
)

// DefinitionName is the name of the CustomResourceDefinition of ClusterNetworkPolicies.
const DefinitionName = Resource + "." + Group

// DefinitionKind is the kind of CustomResourceDefinitions.
var DefinitionKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// Definition contains the name of a CustomResourceDefinition, and the best version that it serves.
type Definition struct {
	metav1.ObjectMeta
	// Version is the best supported version that the API server serves. It is empty if the API
	// server serves none of them.
	Version string
}

// NewDefinition returns an empty CustomResourceDefinition. Callers pass it to a cache to request
// the informer for this kind.
func NewDefinition() *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(DefinitionKind)
	return out
}

// CachedDefinition returns the cache options for the kind of NewDefinition. With these options, the
// cache contains only the CustomResourceDefinition of ClusterNetworkPolicies, as a *Definition.
func CachedDefinition() cache.ByObject {
	out := reduce.With(ReadDefinition)
	out.Field = fields.OneTermEqualSelector(metav1.ObjectNameField, DefinitionName)
	return out
}

// ReadDefinition reads a CustomResourceDefinition.
func ReadDefinition(in *unstructured.Unstructured) *Definition {
	out := &Definition{ObjectMeta: metav1.ObjectMeta{Name: in.GetName(), UID: in.GetUID(), ResourceVersion: in.GetResourceVersion()}}
	if !established(in) {
		return out
	}
	if i := slices.IndexFunc(read.Versions, func(version string) bool { return serves(in, version) }); i >= 0 {
		out.Version = read.Versions[i]
	}
	return out
}

// established reports whether the API server has accepted a CustomResourceDefinition.
func established(in *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(in.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == "Established" {
			return c["status"] == string(metav1.ConditionTrue)
		}
	}
	return false
}

func serves(in *unstructured.Unstructured, version string) bool {
	list, _, _ := unstructured.NestedFieldNoCopy(in.Object, "spec", "versions")
	entries, _ := list.([]any)
	for _, v := range entries {
		if v, ok := v.(map[string]any); ok && v["name"] == version {
			return v["served"] == true
		}
	}
	return false
}

// GetObjectKind returns an empty kind. This is enough because a Definition is never sent to the API
// server.
func (*Definition) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject returns a copy.
func (d *Definition) DeepCopyObject() runtime.Object {
	out := *d
	return &out
}
