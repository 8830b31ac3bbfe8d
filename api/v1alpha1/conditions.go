package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionType is the type of a condition.
type ConditionType string

// Reason is the reason of a condition: one word for programs, stable. People
// read the message.
type Reason string

// FinalizerUninstall keeps a deleted Enforcer until its nodes have proved that
// nothing of it is left on them.
const FinalizerUninstall = "policy.sluice.dev/uninstall"

// Conditions of an Enforcer.
const (
	// ConditionAvailable is True while every node that should enforce does.
	ConditionAvailable ConditionType = "Available"
	// ConditionProgressing is True while a change of the spec is on its way.
	ConditionProgressing ConditionType = "Progressing"
)

// Conditions of a NodeEnforcer.
const (
	// ConditionReady is True while policies are enforced on the node: a dataplane
	// answers and has acknowledged a generation.
	ConditionReady ConditionType = "Ready"
	// ConditionSynced is True while what the node publishes contains what the API
	// server has. It is False while the API server is away: what was published
	// stays in force.
	ConditionSynced ConditionType = "Synced"
)

// ConditionDegraded of Enforcers and NodeEnforcers is True while something does
// not work as it should, although policies may be enforced.
const ConditionDegraded ConditionType = "Degraded"

// Conditions of a PolicyStatus.
const (
	// ConditionEnforced is True while every node that needs the policy enforces
	// it as it is now.
	ConditionEnforced ConditionType = "Enforced"
	// ConditionUnderstood is False while a part of the policy cannot be
	// understood; that part allows nothing.
	ConditionUnderstood ConditionType = "Understood"
	// ConditionSuspicious is True while a part of the policy does not do what it
	// seems to.
	ConditionSuspicious ConditionType = "Suspicious"
)

// Reasons of an Enforcer's conditions.
const (
	// ReasonAllNodes: every node that should enforce does, with the present spec.
	ReasonAllNodes Reason = "AllNodes"
	// ReasonNodesMissing: a node that should enforce does not.
	ReasonNodesMissing Reason = "NodesMissing"
	// ReasonNoNodes: the spec selects no node.
	ReasonNoNodes Reason = "NoNodes"
	// ReasonRollingOut: nodes still run with a spec before the present one.
	ReasonRollingOut Reason = "RollingOut"
	// ReasonFreeingNodes: nodes that the nodeSelector does not select any more are
	// freed of their rules.
	ReasonFreeingNodes Reason = "FreeingNodes"
	// ReasonNodesDegraded: a node's NodeEnforcer is Degraded, it does not enforce, or
	// it left and its rules are still there.
	ReasonNodesDegraded Reason = "NodesDegraded"
	// ReasonApplyFailed: the API server refused something that the nodes need.
	ReasonApplyFailed Reason = "ApplyFailed"
	// ReasonUninstalling: the Enforcer is deleted, and the message says what it
	// waits for.
	ReasonUninstalling Reason = "Uninstalling"
)

// Reasons of a NodeEnforcer's conditions.
const (
	// ReasonEnforcing: the dataplane acknowledged the generation published.
	ReasonEnforcing Reason = "Enforcing"
	// ReasonWaitingForDataplane: a generation is published and the dataplane still
	// enforces the one before, or none.
	ReasonWaitingForDataplane Reason = "WaitingForDataplane"
	// ReasonNoDataplane: no dataplane answers on the node. Its rules stay: flows
	// accepted before go on, and the failure policy decides on all others.
	ReasonNoDataplane Reason = "NoDataplane"
	// ReasonWatching: every watch of the API server runs.
	ReasonWatching Reason = "Watching"
	// ReasonNotSyncedYet: the agent has not read everything since it started. What
	// was published before stays in force.
	ReasonNotSyncedYet Reason = "NotSyncedYet"
	// ReasonAPIServerUnreachable: what was published stays in force.
	ReasonAPIServerUnreachable Reason = "APIServerUnreachable"
	// ReasonPublishingFailed: a tree could not be written. The one before stays in
	// force.
	ReasonPublishingFailed Reason = "PublishingFailed"
	// ReasonPacketsDropped: packets found a queue full.
	ReasonPacketsDropped Reason = "PacketsDropped"
	// ReasonRulesRepaired: somebody else changed the node's rules.
	ReasonRulesRepaired Reason = "RulesRepaired"
)

// Reasons of a PolicyStatus's conditions.
const (
	// ReasonEnforcedEverywhere: by every node that needs it.
	ReasonEnforcedEverywhere Reason = "EnforcedEverywhere"
	// ReasonNoPodSelected: there is nothing to enforce.
	ReasonNoPodSelected Reason = "NoPodSelected"
	// ReasonWaitingForNodes: a node still enforces an older version.
	ReasonWaitingForNodes Reason = "WaitingForNodes"
	// ReasonNodesNotEnforcing: a node that needs it has no agent or dataplane.
	ReasonNodesNotEnforcing Reason = "NodesNotEnforcing"
	// ReasonNotUnderstood: a part allows nothing since nobody can tell what it means.
	ReasonNotUnderstood Reason = "NotUnderstood"
	// ReasonFindings: the findings of the status say what.
	ReasonFindings Reason = "Findings"
)

// ReasonAsExpected is the reason of a condition that has nothing to report.
const ReasonAsExpected Reason = "AsExpected"

// NewCondition makes a condition for meta.SetStatusCondition, which fills in the
// time of the last transition.
func NewCondition(kind ConditionType, status metav1.ConditionStatus, reason Reason, message string) metav1.Condition {
	return metav1.Condition{Type: string(kind), Status: status, Reason: string(reason), Message: message}
}
