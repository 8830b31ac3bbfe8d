package cluster

import (
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"
	"sigs.k8s.io/yaml"
)

// ClusterPolicyVersions returns the versions in which an API server can serve
// ClusterNetworkPolicies. The versions have the same schema.
func ClusterPolicyVersions() []string { return []string{"v1beta1", "v1alpha2"} }

// DecodeClusterPolicy decodes the manifest of a ClusterNetworkPolicy in YAML or JSON. It returns
// an error if the manifest has another kind, an unknown version, or a field that the type does not
// have.
func DecodeClusterPolicy(manifest string) (*v1beta1.ClusterNetworkPolicy, error) {
	policy := &v1beta1.ClusterNetworkPolicy{}
	if err := yaml.UnmarshalStrict([]byte(manifest), policy); err != nil {
		return nil, err
	}
	gvk := policy.GroupVersionKind()
	if gvk.Group != v1beta1.GroupName || gvk.Kind != "ClusterNetworkPolicy" || !slices.Contains(ClusterPolicyVersions(), gvk.Version) {
		return nil, fmt.Errorf("%s is not a served version of ClusterNetworkPolicy", gvk)
	}
	return policy, nil
}

// EncodeClusterPolicy encodes a policy in the given API version, as the API server would return it
// to a client that requests that version.
func EncodeClusterPolicy(policy *v1beta1.ClusterNetworkPolicy, version string) (*unstructured.Unstructured, error) {
	versioned := policy.DeepCopy()
	versioned.APIVersion, versioned.Kind = v1beta1.GroupName+"/"+version, "ClusterNetworkPolicy"
	text, err := json.Marshal(versioned)
	if err != nil {
		return nil, err
	}
	var object unstructured.Unstructured
	return &object, object.UnmarshalJSON(text)
}
