package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EnforcerStatus reports how many nodes enforce policies and whether there are problems.
type EnforcerStatus struct {
	// observedGeneration is the metadata.generation of the Enforcer that this status
	// describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// nodes contains the numbers of nodes that should enforce policies, that enforce
	// policies, and that run the current spec.
	// +optional
	Nodes NodeCounts `json:"nodes,omitempty"`

	// operatorVersion is the version of the operator that wrote this status.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	OperatorVersion string `json:"operatorVersion,omitempty"`

	// conditions are Available (all nodes that should enforce policies do so), Progressing
	// (some nodes do not run the current spec yet, rules are being removed from nodes, or
	// nodes have the startup taint) and Degraded (a node does not work as expected).
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// NodeCounts contains numbers of nodes.
type NodeCounts struct {
	// desired is the number of nodes that should enforce policies. The nodeSelector selects
	// these nodes, and the tolerations match their taints.
	// +kubebuilder:validation:Minimum=0
	Desired int32 `json:"desired"`
	// ready is the number of these nodes that enforce policies.
	// +kubebuilder:validation:Minimum=0
	Ready int32 `json:"ready"`
	// upToDate is the number of these nodes that run the current spec.
	// +kubebuilder:validation:Minimum=0
	UpToDate int32 `json:"upToDate"`
	// unreachable is the number of these nodes that do not enforce policies because the Node itself
	// is not Ready. These nodes affect neither the condition Available nor the condition Degraded.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Unreachable int32 `json:"unreachable"`
}
