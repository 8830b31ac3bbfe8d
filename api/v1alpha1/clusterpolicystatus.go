package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClusterPolicyStatus reports where a ClusterNetworkPolicy is enforced and what lint found in
// it. The findings can depend on objects of all namespaces. The ClusterPolicyStatus has the
// same name as its ClusterNetworkPolicy, which owns it. Only the operator writes the
// ClusterPolicyStatus.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=clusterpolicystatuses,scope=Cluster,categories=sluice
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
type ClusterPolicyStatus struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// status reports where the ClusterNetworkPolicy is enforced.
	// +optional
	Status EnforcementStatus `json:"status,omitempty"`
}

// ClusterPolicyStatusList is a list of ClusterPolicyStatuses.
//
// +kubebuilder:object:root=true
type ClusterPolicyStatusList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterPolicyStatus `json:"items"`
}
