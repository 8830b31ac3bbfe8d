package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodeEnforcer reports what one node enforces. The NodeEnforcer has the same name as its
// Node object, which owns it. The agent of the node writes the status when the status changes.
// The operator writes only the condition Responding.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=sluice
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether policies are enforced on this node"
// +kubebuilder:printcolumn:name="Synced",type=string,JSONPath=`.status.conditions[?(@.type=="Synced")].status`,description="Whether the published generation is up to date with the API server"
// +kubebuilder:printcolumn:name="Responding",type=string,JSONPath=`.status.conditions[?(@.type=="Responding")].status`,description="Whether the agent of this node renews its Lease"
// +kubebuilder:printcolumn:name="Published",type=integer,JSONPath=`.status.published.number`,description="Newest generation that the agent compiled"
// +kubebuilder:printcolumn:name="Enforced",type=integer,JSONPath=`.status.acknowledged.number`,description="Newest generation that applies to every packet"
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.pods.local`,description="Pods of this node"
// +kubebuilder:printcolumn:name="Isolated",type=integer,JSONPath=`.status.pods.isolated`,description="Pods of this node that a policy selects"
// +kubebuilder:printcolumn:name="Policies",type=integer,JSONPath=`.status.policies`,description="Policies that select a pod of this node"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Degraded",type=string,JSONPath=`.status.conditions[?(@.type=="Degraded")].status`,priority=1
// +kubebuilder:printcolumn:name="Allowed",type=integer,JSONPath=`.status.verdicts.allowed`,priority=1,description="First packets that were allowed"
// +kubebuilder:printcolumn:name="Denied",type=integer,JSONPath=`.status.verdicts.denied`,priority=1,description="First packets that were denied"
// +kubebuilder:printcolumn:name="Dropped",type=integer,JSONPath=`.status.queueDrops`,priority=1,description="Packets that found a queue full"
// +kubebuilder:printcolumn:name="Reevaluated",type=integer,JSONPath=`.status.connectionsReevaluated`,priority=1,description="Open connections whose verdict a new generation changed"
// +kubebuilder:printcolumn:name="Tree bytes",type=integer,JSONPath=`.status.tree.sizeBytes`,priority=1,description="Size of the compiled tree"
// +kubebuilder:printcolumn:name="Compile us",type=integer,JSONPath=`.status.tree.compileMicroseconds`,priority=1,description="Duration of the newest compilation, in microseconds"
// +kubebuilder:printcolumn:name="Queueing",type=string,JSONPath=`.status.kernel.queueing`,priority=1,description="How rules hand packets to the queues"
// +kubebuilder:printcolumn:name="Kernel",type=string,JSONPath=`.status.kernel.release`,priority=1
type NodeEnforcer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// status reports what the node enforces.
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

// NodeEnforcerStatus reports what a node enforces.
type NodeEnforcerStatus struct {
	// bootID identifies the boot of the node during which the agent wrote this status. It
	// equals status.nodeInfo.bootID of the Node unless the node has rebooted since then.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	BootID string `json:"bootID,omitempty"`

	// published is the newest generation that the agent compiled and published. Absent
	// before the first publication.
	// +optional
	Published *Generation `json:"published,omitempty"`

	// acknowledged is the newest generation that the dataplane enforces. The node forwards no
	// packet of a connection that this generation denies, even if the connection was opened
	// earlier. Absent before the first acknowledgement.
	// +optional
	Acknowledged *Generation `json:"acknowledged,omitempty"`

	// enforced identifies the policies that the acknowledged generation enforces. For each
	// policy that selects a pod on this node, it contains 8 bytes: a digest of the uid and the
	// generation of the policy, and of the uids and addresses of the selected pods. The digests
	// are sorted. The operator compares them with its own digests.
	// +optional
	Enforced []byte `json:"enforced,omitempty"`

	// pods contains the numbers of pods on this node, in the published generation.
	// +optional
	Pods PodCounts `json:"pods,omitempty"`

	// policies is the number of NetworkPolicies that select a pod on this node, in the
	// published generation.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Policies int32 `json:"policies"`

	// tree describes the published tree. Absent before the first publication.
	// +optional
	Tree *Tree `json:"tree,omitempty"`

	// verdicts counts the first packets of flows by verdict, since the dataplane started.
	// +optional
	Verdicts Verdicts `json:"verdicts,omitempty"`

	// queueDrops is the number of packets that never reached a worker because a normal queue or its
	// socket buffer was full, since the dataplane started. The failure policy decided about these
	// packets.
	// +kubebuilder:validation:Minimum=0
	// +optional
	QueueDrops int64 `json:"queueDrops"`

	// connectionsReevaluated is the number of open connections whose verdict changed
	// because of a new generation, since the dataplane started.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ConnectionsReevaluated int64 `json:"connectionsReevaluated"`

	// kernel describes the features of the node's kernel that the dataplane uses. Absent
	// until the dataplane has responded.
	// +optional
	Kernel *Kernel `json:"kernel,omitempty"`

	// versions contains the versions of Sluice that run on the node.
	// +optional
	Versions NodeVersions `json:"versions,omitempty"`

	// endpoint describes the port on which the agent serves metrics, the status of the
	// dataplane and flow events. Absent while the agent does not serve the status and the
	// flow events.
	// +optional
	Endpoint *NodeEndpoint `json:"endpoint,omitempty"`

	// conditions are Ready (policies are enforced on this node), Synced (the published
	// generation is up to date with the API server), Degraded (the node does not work as
	// expected), PodsKnownEarly (the addresses of new pods are known before the pods start),
	// HeldPacketsEvaluated (policies decide about the first packets of new pods) and
	// PacketsObserved (the packets of pods reach the rules). The operator adds Responding (the
	// agent renews its Lease).
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// NodeVersions contains the versions of Sluice that run on a node.
type NodeVersions struct {
	// agent is the version of the agent that wrote this status.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Agent string `json:"agent,omitempty"`
	// dataplane is the version of the dataplane that enforces the policies. Absent until the
	// dataplane has responded.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Dataplane string `json:"dataplane,omitempty"`
}

// NodeEndpoint describes the HTTPS port of an agent.
type NodeEndpoint struct {
	// port is the TCP port of the node.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// certificateSHA256 is the SHA-256 digest of the certificate of the port, in hexadecimal.
	// The agent creates a new certificate when it starts. The operator connects only to a
	// server with this certificate.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	CertificateSHA256 string `json:"certificateSHA256"`
}

// Generation describes one compiled state of the policies. The numbers of a node's
// generations always increase, even across restarts.
type Generation struct {
	// number is the number of the generation, at least 1.
	// +kubebuilder:validation:Minimum=1
	Number int64 `json:"number"`
	// time is the time at which the generation was published or acknowledged.
	Time metav1.MicroTime `json:"time"`
}

// PodCounts contains numbers of pods on a node. Pods in the host network are not counted,
// because policies do not apply to them.
type PodCounts struct {
	// local is the number of pods on the node.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Local int32 `json:"local"`
	// isolated is the number of pods that are isolated for at least one direction.
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
	// compileMicroseconds is the duration of the newest compilation and publication, in
	// microseconds.
	// +kubebuilder:validation:Minimum=0
	// +optional
	CompileMicroseconds int64 `json:"compileMicroseconds"`
}

// Verdicts counts the first packets of flows by verdict.
type Verdicts struct {
	// allowed is the number of packets that were allowed.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Allowed int64 `json:"allowed"`
	// denied is the number of packets that were denied.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Denied int64 `json:"denied"`
	// unreadable is the number of packets that were dropped because they could not be
	// decoded, for example because a header was truncated.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Unreadable int64 `json:"unreadable"`
}

// Kernel describes the kernel features that the dataplane uses.
type Kernel struct {
	// release is the release of the kernel, for example 6.18.0.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Release string `json:"release,omitempty"`
	// queueing is the kernel feature with which rules pass packets to the queues.
	// QueueExpression is the queue expression of nftables (CONFIG_NFT_QUEUE). NFQUEUETarget
	// is the NFQUEUE target of xtables, which nftables can use through nft_compat.
	// +optional
	Queueing Queueing `json:"queueing,omitempty"`
}

// Queueing names the kernel feature with which rules pass packets to the queues.
//
// +kubebuilder:validation:Enum=QueueExpression;NFQUEUETarget
type Queueing string

// The kernel features for queueing. A kernel can support one of them, both or none. The
// dataplane prefers QueueExpression.
const (
	// QueueExpression is the queue expression of nftables.
	QueueExpression Queueing = "QueueExpression"
	// QueueTarget is the NFQUEUE target of xtables.
	QueueTarget Queueing = "NFQUEUETarget"
)
