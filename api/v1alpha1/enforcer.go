package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// EnforcerName is the name of the Enforcer. A cluster can contain only one Enforcer.
const EnforcerName = "default"

// Enforcer configures how the nodes of this cluster enforce NetworkPolicies. A cluster has
// at most one Enforcer, and its name is "default".
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=sluice
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.status.nodes.desired`,description="Nodes that should enforce"
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.nodes.ready`,description="Nodes that enforce"
// +kubebuilder:printcolumn:name="Up-to-date",type=integer,JSONPath=`.status.nodes.upToDate`,description="Nodes that run the current spec"
// +kubebuilder:printcolumn:name="Available",type=string,JSONPath=`.status.conditions[?(@.type=="Available")].status`,description="Whether every node that should enforce does"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Progressing",type=string,JSONPath=`.status.conditions[?(@.type=="Progressing")].status`,priority=1
// +kubebuilder:printcolumn:name="Degraded",type=string,JSONPath=`.status.conditions[?(@.type=="Degraded")].status`,priority=1
// +kubebuilder:printcolumn:name="Failure",type=string,JSONPath=`.spec.failurePolicy`,priority=1,description="What happens to new flows that no worker can evaluate"
// +kubebuilder:printcolumn:name="Deny",type=string,JSONPath=`.spec.denyAction`,priority=1,description="What happens to denied packets"
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.image`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'default'",message="a cluster has one Enforcer: write metadata.name: default"
type Enforcer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec configures enforcement. Every field has a default, so an empty spec is valid.
	// +kubebuilder:default={}
	// +optional
	Spec EnforcerSpec `json:"spec,omitempty"`
	// status reports how many nodes enforce policies and whether there are problems.
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

// EnforcerSpec configures enforcement.
type EnforcerSpec struct {
	// image is the container image of agent and dataplane, for example
	// registry.example/sluice:v0.1.0. Default: the image of the operator.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.matches('\\\\s')",message="an image reference has no white space: write REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST"
	// +optional
	Image string `json:"image,omitempty"`

	// failurePolicy decides about new flows of isolated pods while no worker of the node
	// can evaluate them. Closed drops these flows, and Open accepts them. Open connections
	// continue in both cases. Default: Closed.
	// +kubebuilder:default=Closed
	// +optional
	FailurePolicy FailurePolicy `json:"failurePolicy,omitempty"`

	// denyAction determines what happens to denied packets. Drop discards them, so clients
	// wait until they time out. Reject discards them and returns a TCP reset or an ICMP
	// error. Default: Drop.
	// +kubebuilder:default=Drop
	// +optional
	DenyAction DenyAction `json:"denyAction,omitempty"`

	// queues configures the kernel queues in which the first packets of flows wait for
	// their verdict.
	// +kubebuilder:default={}
	// +optional
	Queues Queues `json:"queues,omitempty"`

	// markMask selects the two bits of the packet mark and of the connection mark that
	// Sluice uses, in hexadecimal. No other program on the nodes may use these bits. Sluice
	// does not change the other bits. A new mask must not share a bit with the previous mask,
	// because connections have the bits of the previous mask until the node has replaced them.
	// Default: 0x60.
	// +kubebuilder:default="0x60"
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:XValidation:rule="self.matches('^0x(0*[1248]0*[1248]0*|0*[3569aAcC]0*)$')",message="markMask needs exactly two bits out of 32: write them in hexadecimal, such as \"0x60\" or \"0x30000\""
	// +kubebuilder:validation:XValidation:rule="('00000000' + self.substring(2)).lowerAscii().substring(size(self) - 2) == ('00000000' + oldSelf.substring(2)).lowerAscii().substring(size(oldSelf) - 2) || ![0, 1, 2, 3, 4, 5, 6, 7].exists(i, ['13579bdf', '2367abef', '4567cdef', '89abcdef'].exists(bit, bit.contains(('00000000' + self.substring(2)).lowerAscii().substring(size(self) - 2 + i, size(self) - 1 + i)) && bit.contains(('00000000' + oldSelf.substring(2)).lowerAscii().substring(size(oldSelf) - 2 + i, size(oldSelf) - 1 + i))))",message="the new markMask shares a bit with the old one, and open connections still have the old bits: write a mask without a common bit, such as \"0x60\" or \"0x30000\""
	// +optional
	MarkMask string `json:"markMask,omitempty"`

	// nodeSelector restricts enforcement to the nodes that have all of these labels. No
	// policy is enforced on other nodes. When a node is no longer selected, policies remain
	// enforced for the time in freeAfter, and then the rules are removed from the node. If
	// nodes have rules, a nodeSelector that matches no node has no effect. Default: every
	// Linux node.
	// +kubebuilder:validation:MaxProperties=32
	// +mapType=atomic
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// freeAfter is the time, from 0s to 24h, for which policies remain enforced on a node after the
	// nodeSelector no longer selects it. During this time, a user can correct an error in the
	// nodeSelector or in the labels of nodes. Then the rules are removed, on at most a tenth of the
	// nodes at the same time. The time starts again when the operator restarts. Default: 60s.
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}([.][0-9]{1,3})?(ms|s|m|h))+$') && duration(self) <= duration('24h')",message="freeAfter is a duration from 0s to 24h: write it as in \"60s\" or \"1h30m\""
	// +optional
	FreeAfter *metav1.Duration `json:"freeAfter,omitempty"`

	// tolerations are the tolerations of the pod that enforces policies on a node. If this
	// pod does not tolerate a taint, other pods may run on the tainted node without
	// enforcement. By default, the pod therefore tolerates every taint. If a taint is added
	// later and evicts the pod, the rules on the node stay unchanged. Default: [{operator:
	// Exists}].
	// +kubebuilder:default={{operator: Exists}}
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Tolerations []Toleration `json:"tolerations,omitempty"`

	// agent configures the container that compiles policies. This container has no rights
	// on the network. Default: requests of 20m cpu and 64Mi memory.
	// +kubebuilder:default={resources: {requests: {cpu: "20m", memory: "64Mi"}}}
	// +optional
	Agent *Container `json:"agent,omitempty"`

	// dataplane configures the container that evaluates packets. This container has no
	// access to the API server. Default: requests of 250m cpu and 32Mi memory.
	// +kubebuilder:default={resources: {requests: {cpu: "250m", memory: "32Mi"}}}
	// +optional
	Dataplane *Container `json:"dataplane,omitempty"`

	// updateStrategy determines how the pod of a node is replaced when this spec or the image
	// changes.
	// +kubebuilder:default={}
	// +optional
	UpdateStrategy UpdateStrategy `json:"updateStrategy,omitempty"`

	// endpoint configures the port of the nodes for metrics, statuses and flow events.
	// +kubebuilder:default={}
	// +optional
	Endpoint Endpoint `json:"endpoint,omitempty"`

	// denialLog limits what the nodes log about denied flows.
	// +kubebuilder:default={}
	// +optional
	DenialLog DenialLog `json:"denialLog,omitempty"`

	// log configures the logs of the agents and the dataplanes. The arguments of the
	// operator's Deployment configure the log of the operator.
	// +kubebuilder:default={}
	// +optional
	Log Log `json:"log,omitempty"`

	// cniResults is the directory of the nodes in which the container runtime stores CNI
	// results, as an absolute path. A CNI result contains the addresses of a new pod before
	// the first container of the pod starts, so policies apply to the pod from its first
	// packet. Only the dataplane reads the directory. With an empty path, policies apply to
	// a new pod only after its addresses are in the API server. Default:
	// /var/lib/cni/results.
	// +kubebuilder:default="/var/lib/cni/results"
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^(/[^/:[:space:][:cntrl:]]+)+$') && !self.matches('/[.][.]?(/|$)')",message="cniResults is an absolute path without colons, white space, \".\" and \"..\": write it as in \"/var/lib/cni/results\""
	// +kubebuilder:validation:XValidation:rule="!self.matches('^/(run/sluice|sluice|proc|sys|dev)(/|$)')",message="cniResults is not a directory of Sluice or of the kernel: write the directory in which the container runtime stores CNI results"
	// +optional
	CNIResults *string `json:"cniResults,omitempty"`

	// hold is the maximum time, from 0s to 30s, for which a node holds the first packets from and
	// to a new pod. The node releases the packets as soon as the policies of the pod are enforced.
	// After the maximum time, failurePolicy decides about the packets. 0s disables holding: then no
	// policy applies to a new pod until a tree contains the pod. A node without CNI results holds
	// packets only if the address of the pod is in the podCIDRs of the node. Default: 3s.
	// +kubebuilder:default="3s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}([.][0-9]{1,3})?(ms|s|m))+$') && duration(self) <= duration('30s')",message="hold is a duration from 0s to 30s: write it as in \"3s\" or \"500ms\""
	// +optional
	Hold *metav1.Duration `json:"hold,omitempty"`

	// startupTaint determines whether the operator removes the taint
	// policy.sluice.dev/not-ready from nodes that enforce policies. Register new nodes with
	// this taint, for example with --register-with-taints of the kubelet, so that no other
	// pod starts on a node before policies are enforced there. The operator never adds the
	// taint. Default: false, so the operator changes no Node.
	// +optional
	StartupTaint bool `json:"startupTaint,omitempty"`

	// podRanges lists address ranges of pods as IPv4 or IPv6 CIDRs, in addition to the podCIDRs of
	// the nodes. It is needed only if the CNI plugin does not use the podCIDRs. A first packet from
	// or to a pod of another node can arrive before the agent has the address of this pod. If the
	// policies would therefore deny the packet, and the address is in one of these ranges, the node
	// holds the packet for at most 1 s. The prefix length of each range must be at least 8.
	// Default: no additional ranges.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])/(3[0-2]|[12][0-9]|[89])$') || self.matches('^[0-9a-fA-F:]*::?[0-9a-fA-F:]*/(12[0-8]|1[01][0-9]|[1-9][0-9]|[89])$')",message="a range in podRanges is a CIDR of at least 8 bits: write it as in \"10.244.0.0/16\" or \"fd00:10:244::/56\""
	// +listType=atomic
	// +optional
	PodRanges []string `json:"podRanges,omitempty"`

	// imagePullSecrets names the Secrets with which the nodes pull the image. The Secrets must
	// be in the namespace of the operator. Default: none.
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	ImagePullSecrets []SecretName `json:"imagePullSecrets,omitempty"`

	// apiServer is the address at which agents reach the API server. It is needed on clusters
	// where the address of the Service kubernetes does not work from the network of a node,
	// for example without kube-proxy. Default: the address of the Service.
	// +optional
	APIServer *APIServer `json:"apiServer,omitempty"`

	// seLinuxType is the SELinux type of the containers on the nodes, for example spc_t. It
	// is needed on nodes with SELinux in enforcing mode, where the default type may not
	// access the state directory and the CNI results. Default: the type that the container
	// runtime chooses.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9_.]*$')",message="seLinuxType is the name of an SELinux type: write it as in \"spc_t\""
	// +optional
	SELinuxType string `json:"seLinuxType,omitempty"`

	// monitoring configures how Prometheus finds the metrics of the nodes.
	// +optional
	Monitoring *Monitoring `json:"monitoring,omitempty"`
}

// FailurePolicy decides about new flows of isolated pods that no worker can evaluate.
//
// +kubebuilder:validation:Enum=Closed;Open
type FailurePolicy string

// The failure policies.
const (
	// FailClosed drops these flows.
	FailClosed FailurePolicy = "Closed"
	// FailOpen accepts these flows.
	FailOpen FailurePolicy = "Open"
)

// DenyAction determines what happens to denied packets.
//
// +kubebuilder:validation:Enum=Drop;Reject
type DenyAction string

// The deny actions.
const (
	// DenyDrop discards denied packets.
	DenyDrop DenyAction = "Drop"
	// DenyReject discards denied packets and returns a TCP reset or an ICMP error.
	DenyReject DenyAction = "Reject"
)

// Queues configures two ranges of consecutive NFQUEUE numbers. A range has count + 1 numbers: one
// for each normal queue, and one for held packets. Two further numbers follow the ranges, for the
// flood queues. The first packets of pods that open or receive new flows too fast wait in a flood
// queue. While a dataplane is replaced, the old one uses one range and the new one uses the other.
//
// +kubebuilder:validation:XValidation:rule="!has(self.count) || self.base + 2 * self.count <= 65532",message="queues end at number 65535: lower base or count, so that base + 2 * count is at most 65532"
type Queues struct {
	// base is the first number of the first range, 0 to 65535. No other program on the node
	// may use the same numbers. Most other programs start at 0. Default: 2700.
	// +kubebuilder:default=2700
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Base *int32 `json:"base,omitempty"`

	// count is the number of normal queues, 1 to 256. Each queue has one worker. Default: one
	// for each processor of the node, at most 8.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	// +optional
	Count *int32 `json:"count,omitempty"`
}

// UpdateStrategy determines how the pods of the nodes are replaced.
type UpdateStrategy struct {
	// type is Surge or InPlace. With Surge, the new pod starts while the old pod runs, and takes
	// over from it without a gap. Meanwhile, the node needs resources for both pods. With InPlace,
	// the old pod ends before the new pod starts. Until the new pod has started, the failure policy
	// decides about new flows. Default: Surge.
	// +kubebuilder:default=Surge
	// +optional
	Type UpdateStrategyType `json:"type,omitempty"`

	// maxUnavailable is the maximum number of nodes on which the pod is replaced at the same time:
	// a number from 1, or a percentage of the nodes that should enforce policies, rounded up. Nodes
	// that are not Ready do not count towards this maximum. Default: 10%.
	// +kubebuilder:default="10%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^([1-9][0-9]?|100)%$')",message="maxUnavailable is a number from 1 or a percentage: write it as in 5 or \"10%\""
	// +optional
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// UpdateStrategyType is a way to replace the pod of a node.
//
// +kubebuilder:validation:Enum=Surge;InPlace
type UpdateStrategyType string

// The ways to replace the pod of a node.
const (
	// UpdateSurge starts the new pod first.
	UpdateSurge UpdateStrategyType = "Surge"
	// UpdateInPlace ends the old pod first.
	UpdateInPlace UpdateStrategyType = "InPlace"
)

// Endpoint configures the port on which the agent of each node serves the metrics of the
// agent and of the dataplane, and the status and the flow events of the dataplane.
type Endpoint struct {
	// mode is Authenticated, Localhost or Disabled. With Authenticated, the port uses HTTPS, and a
	// client needs a token and permission to read the content. With Localhost, the port is open
	// only on the loopback address of the node, and serves only metrics, without authentication.
	// With Disabled, no port is open. `kubectl sluice flows` needs Authenticated. Default:
	// Authenticated.
	// +kubebuilder:default=Authenticated
	// +optional
	Mode EndpointMode `json:"mode,omitempty"`

	// port is the TCP port of the node, 1 to 65535. No other program on the nodes may use
	// this port. On its node, the operator uses the ports 9641 to 9643. Default: 9640.
	// +kubebuilder:default=9640
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port *int32 `json:"port,omitempty"`
}

// EndpointMode determines how clients can reach the endpoint of a node.
//
// +kubebuilder:validation:Enum=Authenticated;Localhost;Disabled
type EndpointMode string

// The modes of the endpoint.
const (
	// EndpointAuthenticated serves all content to clients that have the right to read it.
	EndpointAuthenticated EndpointMode = "Authenticated"
	// EndpointLocalhost serves only metrics, and only to clients on the node.
	EndpointLocalhost EndpointMode = "Localhost"
	// EndpointDisabled opens no port.
	EndpointDisabled EndpointMode = "Disabled"
)

// DenialLog limits what a node logs about denied flows.
type DenialLog struct {
	// linesPerSecond is the maximum number of lines that one node logs per second, from 0
	// to 10000. 0 disables the log. Denied flows beyond the limit are only counted.
	// Default: 10.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	// +optional
	LinesPerSecond *int32 `json:"linesPerSecond,omitempty"`
}
