package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodeEnforcer says what one node enforces. It has the name of its Node and is
// owned by it. The node's agent writes it on change, and otherwise at most every
// 10 seconds; nobody else does.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=sluice
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether policies are enforced on this node"
// +kubebuilder:printcolumn:name="Synced",type=string,JSONPath=`.status.conditions[?(@.type=="Synced")].status`,description="Whether the node is in step with the API server"
// +kubebuilder:printcolumn:name="Published",type=integer,JSONPath=`.status.published.number`,description="Newest generation that the agent compiled"
// +kubebuilder:printcolumn:name="Enforced",type=integer,JSONPath=`.status.acknowledged.number`,description="Newest generation that holds for every packet"
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.pods.local`,description="Pods of this node"
// +kubebuilder:printcolumn:name="Isolated",type=integer,JSONPath=`.status.pods.isolated`,description="Pods of this node that a policy selects"
// +kubebuilder:printcolumn:name="Policies",type=integer,JSONPath=`.status.policies`,description="Policies that select a pod of this node"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Degraded",type=string,JSONPath=`.status.conditions[?(@.type=="Degraded")].status`,priority=1
// +kubebuilder:printcolumn:name="Accepted",type=integer,JSONPath=`.status.verdicts.accepted`,priority=1,description="First packets accepted"
// +kubebuilder:printcolumn:name="Refused",type=integer,JSONPath=`.status.verdicts.refused`,priority=1,description="First packets refused"
// +kubebuilder:printcolumn:name="Dropped",type=integer,JSONPath=`.status.queueDrops`,priority=1,description="Packets that found a queue full"
// +kubebuilder:printcolumn:name="Rejudged",type=integer,JSONPath=`.status.flowsJudgedAgain`,priority=1,description="Open flows judged otherwise after a change"
// +kubebuilder:printcolumn:name="Tree bytes",type=integer,JSONPath=`.status.tree.sizeBytes`,priority=1,description="Size of the compiled tree"
// +kubebuilder:printcolumn:name="Compile us",type=integer,JSONPath=`.status.tree.compileMicroseconds`,priority=1,description="Time that the newest compilation took"
// +kubebuilder:printcolumn:name="Queueing",type=string,JSONPath=`.status.kernel.queueing`,priority=1,description="How rules hand packets to the queues"
// +kubebuilder:printcolumn:name="Kernel",type=string,JSONPath=`.status.kernel.release`,priority=1
type NodeEnforcer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// status says what the node enforces.
	// +optional
	Status NodeEnforcerStatus `json:"status,omitempty"`
}

// NodeEnforcerList is a list of NodeEnforcers.
//
// +kubebuilder:object:root=true
type NodeEnforcerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodeEnforcer `json:"items"`
}

// NodeEnforcerStatus says what a node enforces.
type NodeEnforcerStatus struct {
	// heartbeat is when the agent wrote this status, by the node's clock. It
	// writes at least every 12 seconds while it reaches the API server. A status
	// older than 60 seconds counts as that of a node that does not enforce.
	// Absent before the first.
	// +optional
	Heartbeat *metav1.Time `json:"heartbeat,omitempty"`

	// published is the newest generation that the agent compiled and published.
	// Absent before the first.
	// +optional
	Published *Generation `json:"published,omitempty"`

	// acknowledged is the newest generation that the dataplane reported in use:
	// no packet that it refuses passes this node, however old its connection is.
	// Absent before the first.
	// +optional
	Acknowledged *Generation `json:"acknowledged,omitempty"`

	// pods counts the pods of this node, as of the published generation.
	// +optional
	Pods PodCounts `json:"pods,omitempty"`

	// policies is how many NetworkPolicies select a pod of this node, as of the
	// published generation.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Policies int32 `json:"policies"`

	// tree describes the published tree. Absent before the first.
	// +optional
	Tree *Tree `json:"tree,omitempty"`

	// verdicts counts first packets by verdict since the dataplane started.
	// +optional
	Verdicts Verdicts `json:"verdicts,omitempty"`

	// queueDrops counts packets that found a queue or its socket full since the
	// dataplane started. The failure policy decided on them.
	// +kubebuilder:validation:Minimum=0
	// +optional
	QueueDrops int64 `json:"queueDrops"`

	// flowsJudgedAgain counts open flows that a new generation judged otherwise
	// than the one before, since the dataplane started.
	// +kubebuilder:validation:Minimum=0
	// +optional
	FlowsJudgedAgain int64 `json:"flowsJudgedAgain"`

	// kernel says which features of the node's kernel are in use. Absent before
	// the dataplane answered.
	// +optional
	Kernel *Kernel `json:"kernel,omitempty"`

	// conditions are Ready (policies are enforced on this node), Synced (what is
	// published contains what the API server has) and Degraded (something does
	// not work as it should).
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Generation is one compiled state of the policies. Generations of a node count
// up, also over restarts.
type Generation struct {
	// number is the generation's number, from 1 on.
	// +kubebuilder:validation:Minimum=1
	Number int64 `json:"number"`
	// time is when it was published or acknowledged.
	Time metav1.MicroTime `json:"time"`
	// contains says how new the objects are that it was compiled from.
	Contains ResourceVersions `json:"contains"`
}

// ResourceVersions has, for each kind, the newest metadata.resourceVersion that
// is contained: an object of that kind is contained as it is, if its own
// resourceVersion is not newer. They compare as decimal numbers.
type ResourceVersions struct {
	// networkPolicies is the newest one of a NetworkPolicy.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	NetworkPolicies string `json:"networkPolicies,omitempty"`
	// pods is the newest one of a Pod.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Pods string `json:"pods,omitempty"`
	// namespaces is the newest one of a Namespace.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Namespaces string `json:"namespaces,omitempty"`
}

// PodCounts counts the pods of a node that have an address of their own; pods
// on the host's network are not judged.
type PodCounts struct {
	// local is how many such pods run on the node.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Local int32 `json:"local"`
	// isolated is how many of them a policy selects, for either direction.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Isolated int32 `json:"isolated"`
}

// Tree describes a compiled tree.
type Tree struct {
	// sizeBytes is the size of the tree's file, in bytes.
	// +kubebuilder:validation:Minimum=0
	// +optional
	SizeBytes int64 `json:"sizeBytes"`
	// compileMicroseconds is how long the newest compilation and its publication
	// took, in microseconds.
	// +kubebuilder:validation:Minimum=0
	// +optional
	CompileMicroseconds int64 `json:"compileMicroseconds"`
}

// Verdicts counts first packets of flows.
type Verdicts struct {
	// accepted is how many were accepted.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Accepted int64 `json:"accepted"`
	// refused is how many were refused, because no policy allowed them.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Refused int64 `json:"refused"`
	// unreadable is how many were dropped because they could not be read, such as
	// truncated headers.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Unreadable int64 `json:"unreadable"`
}

// Kernel says which kernel features are in use.
type Kernel struct {
	// release is the kernel's release, such as 6.18.0.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Release string `json:"release,omitempty"`
	// queueing is how rules hand packets to the queues: QueueExpression is that
	// of nftables (CONFIG_NFT_QUEUE), NFQUEUETarget that of xtables, by way of
	// nft_compat.
	// +optional
	Queueing Queueing `json:"queueing,omitempty"`
}

// Queueing is how rules hand packets to the queues.
//
// +kubebuilder:validation:Enum=QueueExpression;NFQUEUETarget
type Queueing string

// The ways. Kernels have one, both or none; the first is preferred.
const (
	// QueueExpression is the expression of nftables.
	QueueExpression Queueing = "QueueExpression"
	// QueueTarget is the target of xtables.
	QueueTarget Queueing = "NFQUEUETarget"
)
