// Package v1alpha1 defines the kinds of the API group policy.sluice.dev:
//
//	Enforcer             configures enforcement; users write it, one per cluster
//	NodeEnforcer         reports what one node enforces; the node's agent writes it
//	PolicyStatus         reports where a NetworkPolicy is enforced; the operator writes it
//	ClusterPolicyStatus  reports where a ClusterNetworkPolicy is enforced; the operator writes it
//
// The conditions follow the Kubernetes API conventions. The file conditions.go defines
// their types and reasons.
//
// +kubebuilder:object:generate=true
// +groupName=policy.sluice.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The custom resource definitions and the deep copy functions are generated from the types.
//go:generate go tool -modfile=../../hack/tools/go.mod controller-gen object crd paths=. output:crd:artifacts:config=../../config/crd/bases

// GroupVersion is the group and version of the kinds.
var GroupVersion = schema.GroupVersion{Group: "policy.sluice.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds with a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Enforcer{}, &EnforcerList{},
		&NodeEnforcer{}, &NodeEnforcerList{},
		&PolicyStatus{}, &PolicyStatusList{},
		&ClusterPolicyStatus{}, &ClusterPolicyStatusList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
