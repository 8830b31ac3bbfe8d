package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PolicyStatus reports where a NetworkPolicy is enforced and what lint found in it. The
// PolicyStatus has the same namespace and name as its NetworkPolicy, which owns it. Only
// the operator writes the PolicyStatus.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=policystatuses,categories=sluice
// +kubebuilder:printcolumn:name="Enforced",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].status`,description="Whether every node that needs the policy enforces its current version"
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.pods`,description="Pods that the policy selects"
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes.needed`,description="Nodes with a selected pod"
// +kubebuilder:printcolumn:name="Enforcing",type=integer,JSONPath=`.status.nodes.enforcing`,description="Nodes with a selected pod that enforce the current version of the policy"
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.enforcedSince`,description="Time since which all of these nodes enforce the policy"
// +kubebuilder:printcolumn:name="Understood",type=string,JSONPath=`.status.conditions[?(@.type=="Understood")].status`,description="Whether every part of the policy can be understood"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Rules",type=integer,JSONPath=`.status.rules`,priority=1,description="Rules of the policy"
// +kubebuilder:printcolumn:name="Lint findings",type=string,JSONPath=`.status.conditions[?(@.type=="LintFindings")].status`,priority=1,description="Whether lint found something in the policy"
// +kubebuilder:printcolumn:name="Enforcement",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].message`,priority=1,description="Reason why the policy is not enforced everywhere yet"
// +kubebuilder:printcolumn:name="First finding",type=string,JSONPath=`.status.findings[0].message`,priority=1,description="The most severe finding"
type PolicyStatus struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// status reports where the NetworkPolicy is enforced.
	// +optional
	Status EnforcementStatus `json:"status,omitempty"`
}

// PolicyStatusList is a list of PolicyStatuses.
//
// +kubebuilder:object:root=true
type PolicyStatusList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PolicyStatus `json:"items"`
}

// EnforcementStatus reports where a NetworkPolicy or ClusterNetworkPolicy is enforced.
type EnforcementStatus struct {
	// observedGeneration is the metadata.generation of the policy that this status
	// describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// pods is the number of pods that the policy selects. Pods in the host network and
	// finished pods are not counted.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Pods int32 `json:"pods"`

	// nodes counts the nodes with selected pods.
	// +optional
	Nodes PolicyNodes `json:"nodes,omitempty"`

	// enforcedSince is the time since which every node that needs the policy enforces the
	// current version of the policy. Absent while a node does not enforce that version.
	// +optional
	EnforcedSince *metav1.Time `json:"enforcedSince,omitempty"`

	// rules is the number of ingress and egress rules of the policy.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Rules int32 `json:"rules"`

	// findings lists the errors in the policy and the findings of lint, most severe first.
	// The list contains at most 16 findings.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	Findings []Finding `json:"findings,omitempty"`

	// conditions are Enforced (every node that needs the policy enforces the current
	// version of the policy), Understood (no part of the policy is invalid) and
	// LintFindings (lint found something in the policy).
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PolicyNodes counts the nodes with pods that a policy selects.
type PolicyNodes struct {
	// needed is the number of nodes with a pod that the policy selects.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Needed int32 `json:"needed"`
	// enforcing is the number of these nodes that enforce the current version of the
	// policy.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Enforcing int32 `json:"enforcing"`
}

// Finding is one error in a policy or one finding of lint.
type Finding struct {
	// severity is Error (a part is invalid and allows nothing), Warning (a part is very
	// likely a mistake) or Note (a part may be a mistake).
	Severity Severity `json:"severity"`
	// check is the name of the check, for example no-pod-selected. The names of checks do
	// not change between releases.
	// +kubebuilder:validation:MaxLength=64
	Check string `json:"check"`
	// field is the path of the part in the policy, for example
	// spec.ingress[0].from[1].
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Field string `json:"field,omitempty"`
	// message describes the problem and how to fix it.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}

// Severity is the severity of a finding.
//
// +kubebuilder:validation:Enum=Error;Warning;Note
type Severity string

// The severities, most severe first.
const (
	// SeverityError means that a part is invalid and allows nothing.
	SeverityError Severity = "Error"
	// SeverityWarning means that a part is very likely a mistake.
	SeverityWarning Severity = "Warning"
	// SeverityNote means that a part may be a mistake.
	SeverityNote Severity = "Note"
)
