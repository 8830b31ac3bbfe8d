package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionType is the type of a condition.
type ConditionType string

// Reason is the reason of a condition: one word that does not change between releases, so
// that programs can compare it. The message of the condition explains it to users.
type Reason string

// FinalizerUninstall is the finalizer of an Enforcer and of the NodeEnforcers. It keeps a deleted
// Enforcer until its nodes have proved that nothing of Sluice is left on them. It keeps a deleted
// NodeEnforcer until its node has proved this, because a NodeEnforcer is the record that its node
// has rules.
const FinalizerUninstall = "policy.sluice.dev/uninstall"

// AnnotationInstallation is the annotation of an Enforcer that names the installation of
// Sluice to which the Enforcer belongs. Its value is the namespace of the operator. The first
// operator that reads an Enforcer without the annotation adds it. Operators in other namespaces
// then ignore the Enforcer.
const AnnotationInstallation = "policy.sluice.dev/installation"

// AnnotationAbandon is an annotation of the Enforcer. Its value contains names of nodes, separated
// by commas. When the operator uninstalls Sluice, it does not wait for these nodes.
const AnnotationAbandon = "policy.sluice.dev/abandon"

// TaintNotReady is the key of the taint that keeps pods off a new node until the node
// enforces policies. The operator removes the taint if spec.startupTaint of the Enforcer is
// true.
const TaintNotReady = "policy.sluice.dev/not-ready"

// Conditions of an Enforcer.
const (
	// ConditionAvailable is True while all nodes that should enforce policies do so.
	ConditionAvailable ConditionType = "Available"
	// ConditionProgressing is True while some nodes do not run the current spec yet, while
	// rules are being removed from nodes, or while nodes have the startup taint.
	ConditionProgressing ConditionType = "Progressing"
)

// Conditions of a NodeEnforcer.
const (
	// ConditionReady is True while the node enforces policies. This requires that the
	// dataplane responds and has acknowledged a generation.
	ConditionReady ConditionType = "Ready"
	// ConditionSynced is True while the published generation is up to date with the
	// API server. It is False while the API server cannot be reached. The published
	// generation then remains enforced.
	ConditionSynced ConditionType = "Synced"
	// ConditionResponding is False while the agent of the node does not renew its Lease. The
	// other conditions then describe the last report of the agent. The operator writes this
	// condition, and no agent changes it.
	ConditionResponding ConditionType = "Responding"
	// ConditionPodsKnownEarly is True while the node reads CNI results. The agent then has the
	// addresses of a new pod before the first container of the pod starts, and can detect when a
	// deleted pod no longer uses its addresses. If the node does not read CNI results, the agent
	// receives this information from the API server, which is later. The condition is Unknown until the first CNI result of a pod has been read.
	ConditionPodsKnownEarly ConditionType = "PodsKnownEarly"
	// ConditionHeldPacketsEvaluated is True while the node holds the packets of each new pod until
	// a tree contains the pod, so that policies decide about these packets. It is False while the
	// node is unable or not configured to hold packets, and for 10 minutes after the failure policy
	// decided about packets of a new pod.
	ConditionHeldPacketsEvaluated ConditionType = "HeldPacketsEvaluated"
	// ConditionPacketsObserved is True while the packets that pods of the node send reach the
	// rules. It is False while packets bypass the rules and therefore all policies. It is Unknown
	// until a pod has sent enough packets.
	ConditionPacketsObserved ConditionType = "PacketsObserved"
)

// ConditionDegraded is True while something does not work as expected. Enforcers and
// NodeEnforcers have this condition. Policies may be enforced even while it is True.
const ConditionDegraded ConditionType = "Degraded"

// ConditionPolicyEnforced is a condition of a ClusterNetworkPolicy. It is True while no part of the
// policy is invalid and every node that needs the policy enforces the current version of the
// policy.
const ConditionPolicyEnforced ConditionType = "policy.sluice.dev/Enforced"

// Conditions of a PolicyStatus and of a ClusterPolicyStatus.
const (
	// ConditionEnforced is True while every node that needs the policy enforces the current
	// version of the policy.
	ConditionEnforced ConditionType = "Enforced"
	// ConditionUnderstood is False while a part of the policy is invalid. That part
	// allows nothing.
	ConditionUnderstood ConditionType = "Understood"
	// ConditionLintFindings is True while lint finds something in the policy, for
	// example a part that has no effect.
	ConditionLintFindings ConditionType = "LintFindings"
)

// Reasons of an Enforcer's conditions.
const (
	// ReasonAllNodes: all nodes that should enforce policies do so, with the current spec.
	ReasonAllNodes Reason = "AllNodes"
	// ReasonNodesMissing: a node that should enforce policies does not.
	ReasonNodesMissing Reason = "NodesMissing"
	// ReasonNoNodes: the spec selects no node.
	ReasonNoNodes Reason = "NoNodes"
	// ReasonRollingOut: some nodes still run an earlier spec.
	ReasonRollingOut Reason = "RollingOut"
	// ReasonFreeingNodes: rules are being removed from nodes that the nodeSelector no
	// longer selects.
	ReasonFreeingNodes Reason = "FreeingNodes"
	// ReasonNodesStarting: nodes have the taint policy.sluice.dev/not-ready until they enforce
	// policies.
	ReasonNodesStarting Reason = "NodesStarting"
	// ReasonNodesDegraded: the NodeEnforcer of a node is Degraded, a node does not enforce
	// policies, or rules could not be removed from a node that is no longer selected.
	ReasonNodesDegraded Reason = "NodesDegraded"
	// ReasonSelectorMatchesNoNode: the nodeSelector matches no node, although some nodes have
	// rules. These nodes keep their rules. If the nodeSelector was changed, the previous one stays
	// in effect.
	ReasonSelectorMatchesNoNode Reason = "SelectorMatchesNoNode"
	// ReasonApplyFailed: the API server rejected an object that the nodes need.
	ReasonApplyFailed Reason = "ApplyFailed"
	// ReasonConflict: another client repeatedly changes an object that the nodes need. The
	// message names the object and the field manager of the client.
	ReasonConflict Reason = "Conflict"
	// ReasonUninstalling: the Enforcer is being deleted. The message names the nodes or
	// objects that the uninstallation waits for.
	ReasonUninstalling Reason = "Uninstalling"
)

// Reasons of a NodeEnforcer's conditions.
const (
	// ReasonEnforcing: the dataplane has acknowledged the published generation.
	ReasonEnforcing Reason = "Enforcing"
	// ReasonWaitingForDataplane: the dataplane enforces no generation yet, or an earlier
	// generation than the published one.
	ReasonWaitingForDataplane Reason = "WaitingForDataplane"
	// ReasonNoDataplane: the dataplane of the node does not respond. Its rules stay:
	// open connections continue, and the failure policy decides about new flows.
	ReasonNoDataplane Reason = "NoDataplane"
	// ReasonWatching: the agent watches all objects that it needs.
	ReasonWatching Reason = "Watching"
	// ReasonNotSyncedYet: the agent has started but has not read all objects yet. The
	// published generation remains enforced.
	ReasonNotSyncedYet Reason = "NotSyncedYet"
	// ReasonAPIServerUnreachable: the agent cannot reach the API server. The published
	// generation remains enforced.
	ReasonAPIServerUnreachable Reason = "APIServerUnreachable"
	// ReasonAgentResponding: the agent renews its Lease.
	ReasonAgentResponding Reason = "AgentResponding"
	// ReasonAgentSilent: the agent has not renewed its Lease for 60 seconds. It does not run,
	// or it cannot reach the API server.
	ReasonAgentSilent Reason = "AgentSilent"
	// ReasonTreeRejected: the dataplane cannot use the published tree. If it has acknowledged an
	// earlier generation, that generation remains enforced.
	ReasonTreeRejected Reason = "TreeRejected"
	// ReasonPublishingFailed: a tree could not be written. The previous tree remains
	// enforced.
	ReasonPublishingFailed Reason = "PublishingFailed"
	// ReasonBridgesUnfiltered: frames between the pods of a bridge bypass the rules. Either
	// br_netfilter is off, or the rules cannot drop frames with a VLAN tag.
	ReasonBridgesUnfiltered Reason = "BridgesUnfiltered"
	// ReasonPacketsSeen: the packets that pods send reach the rules.
	ReasonPacketsSeen Reason = "PacketsSeen"
	// ReasonPacketsBypassNetfilter: the interface of a pod receives packets that do not reach
	// the rules.
	ReasonPacketsBypassNetfilter Reason = "PacketsBypassNetfilter"
	// ReasonTooFewPackets: no pod has sent enough packets yet.
	ReasonTooFewPackets Reason = "TooFewPackets"
	// ReasonPacketsNotCounted: the packets of pods cannot be counted.
	ReasonPacketsNotCounted Reason = "PacketsNotCounted"
	// ReasonCNIResults: the addresses of new pods are read from the CNI results of the
	// node.
	ReasonCNIResults Reason = "CNIResults"
	// ReasonNoCNIResults: the CNI results of the node cannot be read.
	ReasonNoCNIResults Reason = "NoCNIResults"
	// ReasonUnusableCNIResults: some CNI results of the node cannot be used.
	ReasonUnusableCNIResults Reason = "UnusableCNIResults"
	// ReasonEmptyCNIResults: the directory of CNI results can be read but contains no pod,
	// probably because the container runtime uses another directory.
	ReasonEmptyCNIResults Reason = "EmptyCNIResults"
	// ReasonNoSandboxes: the dataplane has not published the pod sandboxes of the node, or
	// the agent cannot read them.
	ReasonNoSandboxes Reason = "NoSandboxes"
	// ReasonHolding: packets of new pods are held until policies decide about them.
	ReasonHolding Reason = "Holding"
	// ReasonHoldingDisabled: spec.hold of the Enforcer is 0s, so no packet is held.
	ReasonHoldingDisabled Reason = "HoldingDisabled"
	// ReasonHoldTimedOut: no tree contained a new pod within the time in spec.hold, so the failure
	// policy decided about packets of the pod.
	ReasonHoldTimedOut Reason = "HoldTimedOut"
	// ReasonTooManyHeldPackets: the limit of held packets was reached, so the failure policy
	// decided about other packets of new pods.
	ReasonTooManyHeldPackets Reason = "TooManyHeldPackets"
	// ReasonNoAgent: no agent was running, so the failure policy decided about packets of
	// new pods.
	ReasonNoAgent Reason = "NoAgent"
	// ReasonPacketsDropped: some packets never reached a worker because a queue was full.
	ReasonPacketsDropped Reason = "PacketsDropped"
	// ReasonRulesRepaired: another program changed the node's rules, and the dataplane
	// repaired them.
	ReasonRulesRepaired Reason = "RulesRepaired"
)

// Reasons of a PolicyStatus's conditions.
const (
	// ReasonEnforcedEverywhere: every node that needs the policy enforces it.
	ReasonEnforcedEverywhere Reason = "EnforcedEverywhere"
	// ReasonNoPodSelected: the policy selects no pod, so no node needs it.
	ReasonNoPodSelected Reason = "NoPodSelected"
	// ReasonWaitingForNodes: a node still enforces an earlier version of the policy.
	ReasonWaitingForNodes Reason = "WaitingForNodes"
	// ReasonNodesNotEnforcing: a node that needs the policy has no working agent or
	// dataplane.
	ReasonNodesNotEnforcing Reason = "NodesNotEnforcing"
	// ReasonNotUnderstood: a part of the policy is invalid and allows nothing.
	ReasonNotUnderstood Reason = "NotUnderstood"
	// ReasonFindings: lint found something. The findings are in status.findings.
	ReasonFindings Reason = "Findings"
)

// ReasonAsExpected is the reason of a condition that reports no problem.
const ReasonAsExpected Reason = "AsExpected"

// NewCondition returns a condition without a transition time. meta.SetStatusCondition sets
// this time.
func NewCondition(kind ConditionType, status metav1.ConditionStatus, reason Reason, message string) metav1.Condition {
	return metav1.Condition{Type: string(kind), Status: status, Reason: string(reason), Message: message}
}
