package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EnforcerName is the name of the only Enforcer that a cluster can have.
const EnforcerName = "default"

// Enforcer says how NetworkPolicy is enforced on the nodes of this cluster. A
// cluster has one, and its name is "default".
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=sluice
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.status.nodes.desired`,description="Nodes that should enforce"
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.nodes.ready`,description="Nodes that enforce"
// +kubebuilder:printcolumn:name="Up-to-date",type=integer,JSONPath=`.status.nodes.upToDate`,description="Nodes that run with the present spec"
// +kubebuilder:printcolumn:name="Available",type=string,JSONPath=`.status.conditions[?(@.type=="Available")].status`,description="Whether every node that should enforce does"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Progressing",type=string,JSONPath=`.status.conditions[?(@.type=="Progressing")].status`,priority=1
// +kubebuilder:printcolumn:name="Degraded",type=string,JSONPath=`.status.conditions[?(@.type=="Degraded")].status`,priority=1
// +kubebuilder:printcolumn:name="Failure",type=string,JSONPath=`.spec.failurePolicy`,priority=1,description="What happens to new flows that no worker can judge"
// +kubebuilder:printcolumn:name="Deny",type=string,JSONPath=`.spec.denyAction`,priority=1,description="How refused packets end"
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.image`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'default'",message="a cluster has one Enforcer: write metadata.name: default"
type Enforcer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says how to enforce. Every field has a default, so that an empty spec
	// is complete.
	// +kubebuilder:default={}
	// +optional
	Spec EnforcerSpec `json:"spec,omitempty"`
	// status says how far the cluster is with it.
	// +optional
	Status EnforcerStatus `json:"status,omitempty"`
}

// EnforcerList is a list of Enforcers.
//
// +kubebuilder:object:root=true
type EnforcerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Enforcer `json:"items"`
}

// EnforcerSpec says how to enforce.
type EnforcerSpec struct {
	// image is the container image of agent and dataplane, such as
	// registry.example/sluice:v0.1.0. Default: the image of the operator itself.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.matches('\\\\s')",message="an image reference has no white space: write REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST"
	// +optional
	Image string `json:"image,omitempty"`

	// failurePolicy says what happens to new flows of isolated pods while no
	// worker of the node can judge them. Closed drops them, Open lets them pass.
	// Flows that were accepted before go on either way. Default: Closed.
	// +kubebuilder:default=Closed
	// +optional
	FailurePolicy FailurePolicy `json:"failurePolicy,omitempty"`

	// denyAction says how refused packets end. Drop is silent, so that clients run
	// into their time limit; Reject answers with a TCP reset or an ICMP error.
	// Default: Drop.
	// +kubebuilder:default=Drop
	// +optional
	DenyAction DenyAction `json:"denyAction,omitempty"`

	// queues are the kernel queues in which first packets wait for their verdict.
	// +kubebuilder:default={}
	// +optional
	Queues Queues `json:"queues,omitempty"`

	// markMask names the two bits of packet mark and connection mark that Sluice
	// uses, in hexadecimal. Nobody else on the nodes may use them. All other bits
	// stay untouched. Default: 0x60.
	// +kubebuilder:default="0x60"
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:XValidation:rule="self.matches('^0x(0*[1248]0*[1248]0*|0*[3569aAcC]0*)$')",message="markMask needs exactly two bits out of 32: write them in hexadecimal, such as \"0x60\" or \"0x30000\""
	// +optional
	MarkMask string `json:"markMask,omitempty"`

	// nodeSelector restricts enforcement to nodes with all of these labels. On
	// all other nodes no policy is enforced: the rules of a node that is not
	// selected any more are removed. Default: every Linux node.
	// +kubebuilder:validation:MaxProperties=32
	// +mapType=atomic
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// tolerations are the node taints that do not keep enforcement away. A node
	// that pods can run on and that is not enforced is open, so by default
	// every taint is tolerated. A taint that comes later and takes the node's pod
	// away leaves its rules as they were. Default: [{operator: Exists}].
	// +kubebuilder:default={{operator: Exists}}
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Tolerations []Toleration `json:"tolerations,omitempty"`

	// agent is the container that compiles policies. It has no rights on the
	// network. Default: it asks for 20m of cpu and 64Mi of memory.
	// +kubebuilder:default={resources: {requests: {cpu: "20m", memory: "64Mi"}}}
	// +optional
	Agent *Container `json:"agent,omitempty"`

	// dataplane is the container that judges packets. It has no rights on the API
	// server. Default: it asks for 50m of cpu and 32Mi of memory.
	// +kubebuilder:default={resources: {requests: {cpu: "50m", memory: "32Mi"}}}
	// +optional
	Dataplane *Container `json:"dataplane,omitempty"`

	// refusalLog bounds what the nodes log about refused flows.
	// +kubebuilder:default={}
	// +optional
	RefusalLog RefusalLog `json:"refusalLog,omitempty"`
}

// FailurePolicy says what happens to new flows that no worker can judge.
//
// +kubebuilder:validation:Enum=Closed;Open
type FailurePolicy string

// The failure policies.
const (
	// FailClosed drops them.
	FailClosed FailurePolicy = "Closed"
	// FailOpen lets them pass.
	FailOpen FailurePolicy = "Open"
)

// DenyAction says how refused packets end.
//
// +kubebuilder:validation:Enum=Drop;Reject
type DenyAction string

// The deny actions.
const (
	// DenyDrop is silent.
	DenyDrop DenyAction = "Drop"
	// DenyReject answers with a TCP reset or an ICMP error.
	DenyReject DenyAction = "Reject"
)

// Queues are consecutive NFQUEUE numbers, each with one worker.
//
// +kubebuilder:validation:XValidation:rule="!has(self.count) || self.base + self.count <= 65536",message="queues end at number 65535: lower base or count, so that base + count is at most 65536"
type Queues struct {
	// base is the number of the first queue, 0 to 65535. No other program of the
	// node may use the same numbers; most others begin at 0. Default: 2700.
	// +kubebuilder:default=2700
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Base *int32 `json:"base,omitempty"`

	// count is how many queues there are, 1 to 256, each with a worker. Default:
	// one for each processor of the node, at most 8.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	// +optional
	Count *int32 `json:"count,omitempty"`
}

// RefusalLog bounds what a node logs about refused flows.
type RefusalLog struct {
	// linesPerSecond is the most lines that one node writes in a second, 0 to
	// 10000; 0 writes none. What is over it is only counted. Default: 10.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	// +optional
	LinesPerSecond *int32 `json:"linesPerSecond,omitempty"`
}

// EnforcerStatus says how far the cluster is with the spec.
type EnforcerStatus struct {
	// observedGeneration is the metadata.generation of the Enforcer that this
	// status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// nodes counts nodes.
	// +optional
	Nodes NodeCounts `json:"nodes,omitempty"`

	// conditions are Available (every node that should enforce does), Progressing
	// (a change of the spec is on its way to the nodes) and Degraded (a node
	// cannot do what it should).
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// NodeCounts counts the nodes of a cluster.
type NodeCounts struct {
	// desired is how many nodes should enforce: those that the nodeSelector and
	// the tolerations of the spec allow.
	// +kubebuilder:validation:Minimum=0
	Desired int32 `json:"desired"`
	// ready is how many of them enforce.
	// +kubebuilder:validation:Minimum=0
	Ready int32 `json:"ready"`
	// upToDate is how many of them run with the present spec.
	// +kubebuilder:validation:Minimum=0
	UpToDate int32 `json:"upToDate"`
}
