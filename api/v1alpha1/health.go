package v1alpha1

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HeartbeatTimeout is the time after which an agent that does not renew its Lease counts as
// silent. An agent renews its Lease every 12 to 15 seconds. The rest is a margin for a busy API
// server. If an agent cannot reach the API server, its dataplane continues to enforce policies,
// but the NodeEnforcer no longer shows which ones.
const HeartbeatTimeout = time.Minute

// HeartbeatLease returns the name of the Lease of a node. The Lease is in the namespace of the
// operator. The name of the node must not have more than 248 characters.
func HeartbeatLease(node string) string { return "node-" + node }

// NotEnforcing returns why the node may not enforce policies, or "" if the node is known to enforce
// them.
func (n *NodeEnforcer) NotEnforcing() string {
	ready := meta.FindStatusCondition(n.Status.Conditions, string(ConditionReady))
	switch {
	case ready == nil:
		return "no agent has reported yet"
	case meta.IsStatusConditionFalse(n.Status.Conditions, string(ConditionResponding)):
		return fmt.Sprintf("its agent has not reported for more than %s: %s", HeartbeatTimeout, n.WithoutAgent())
	case ready.Status != metav1.ConditionTrue:
		return ready.Message
	}
	return ""
}

// WithoutAgent describes what happens to the traffic of pods that start on the node while its agent
// does not run or cannot reach the API server. No tree contains these pods yet.
func (n *NodeEnforcer) WithoutAgent() string {
	if c := meta.FindStatusCondition(n.Status.Conditions, string(ConditionHeldPacketsEvaluated)); c != nil {
		switch Reason(c.Reason) {
		case ReasonHoldingDisabled, ReasonNoCNIResults, ReasonEmptyCNIResults:
			return "no policy applies to its new pods"
		}
	}
	return "the failure policy decides about its new pods"
}
