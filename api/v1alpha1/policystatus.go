package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PolicyStatus says where a NetworkPolicy is enforced and what is wrong with it.
// It has the namespace and the name of its NetworkPolicy and is owned by it. The
// operator writes it; nobody else does.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=policystatuses,categories=sluice
// +kubebuilder:printcolumn:name="Enforced",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].status`,description="Whether every node that needs the policy enforces it as it is now"
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.pods`,description="Pods that the policy selects"
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes.needed`,description="Nodes with a selected pod"
// +kubebuilder:printcolumn:name="Enforcing",type=integer,JSONPath=`.status.nodes.enforcing`,description="Nodes of these that enforce the policy as it is now"
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.enforcedSince`,description="How long all of them have"
// +kubebuilder:printcolumn:name="Understood",type=string,JSONPath=`.status.conditions[?(@.type=="Understood")].status`,description="Whether every part of the policy can be understood"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Rules",type=integer,JSONPath=`.status.rules`,priority=1,description="Rules of the policy"
// +kubebuilder:printcolumn:name="Suspicious",type=string,JSONPath=`.status.conditions[?(@.type=="Suspicious")].status`,priority=1,description="Whether a part does not do what it seems to"
// +kubebuilder:printcolumn:name="Enforcement",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].message`,priority=1,description="What enforcement waits for"
// +kubebuilder:printcolumn:name="Found",type=string,JSONPath=`.status.findings[0].message`,priority=1,description="The first thing that is wrong with the policy"
type PolicyStatus struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// status says where the NetworkPolicy is enforced.
	// +optional
	Status PolicyStatusStatus `json:"status,omitempty"`
}

// PolicyStatusList is a list of PolicyStatuses.
//
// +kubebuilder:object:root=true
type PolicyStatusList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PolicyStatus `json:"items"`
}

// PolicyStatusStatus says where a NetworkPolicy is enforced.
type PolicyStatusStatus struct {
	// observedGeneration is the metadata.generation of the NetworkPolicy that
	// this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// pods is how many pods the policy selects, those on the host's network and
	// those that have ended left out.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Pods int32 `json:"pods"`

	// nodes counts the nodes that are concerned.
	// +optional
	Nodes PolicyNodes `json:"nodes,omitempty"`

	// enforcedSince is when the last node that needs the policy acknowledged it
	// as it is now. Absent while a node is behind.
	// +optional
	EnforcedSince *metav1.Time `json:"enforcedSince,omitempty"`

	// rules is how many ingress and egress rules the policy has together.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Rules int32 `json:"rules"`

	// findings is what is wrong with the policy, gravest first, at most 16.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	Findings []Finding `json:"findings,omitempty"`

	// conditions are Enforced (every node that needs the policy enforces it as it
	// is now), Understood (no part of it was left out because nobody can tell what
	// it means) and Suspicious (a part does not do what it seems to).
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PolicyNodes counts nodes that a policy concerns.
type PolicyNodes struct {
	// needed is how many nodes have a pod that the policy selects.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Needed int32 `json:"needed"`
	// enforcing is how many of them enforce the policy as it is now.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Enforcing int32 `json:"enforcing"`
}

// Finding is one thing that is wrong with a policy.
type Finding struct {
	// severity is Error (a part cannot be understood and allows nothing), Warning
	// (a part almost surely does not do what was meant) or Note (worth a look).
	Severity Severity `json:"severity"`
	// check is the stable name of what was looked for, such as no-pod-selected.
	// +kubebuilder:validation:MaxLength=64
	Check string `json:"check"`
	// field is the path of it, such as spec.ingress[0].from[1].
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Field string `json:"field,omitempty"`
	// message says what is the case and what to write instead.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}

// Severity says how sure a finding is to matter.
//
// +kubebuilder:validation:Enum=Error;Warning;Note
type Severity string

// The severities, the gravest first.
const (
	// SeverityError is a part that cannot be understood and allows nothing.
	SeverityError Severity = "Error"
	// SeverityWarning is a part that almost surely does not do what was meant.
	SeverityWarning Severity = "Warning"
	// SeverityNote is worth a look and may well be meant.
	SeverityNote Severity = "Note"
)
