package v1alpha1

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HeartbeatTimeout is the age from which the status of a node is considered outdated.
// Agents write at least every 12 seconds. The rest is a margin for a busy API server and
// for clocks that differ. If an agent cannot reach the API server, its dataplane continues
// to enforce policies, but the NodeEnforcer no longer shows which generation.
const HeartbeatTimeout = time.Minute

// NotEnforcing returns why the node is not known to enforce policies, or "" if the node is
// known to enforce policies.
func (n *NodeEnforcer) NotEnforcing(now time.Time) string {
	ready := meta.FindStatusCondition(n.Status.Conditions, string(ConditionReady))
	switch {
	case ready == nil:
		return "no agent has reported yet"
	case n.stale(now):
		return fmt.Sprintf("its agent has not reported for more than %s: %s", HeartbeatTimeout, n.WithoutAgent())
	case ready.Status != metav1.ConditionTrue:
		return ready.Message
	}
	return ""
}

// WithoutAgent describes what applies to the pods that start on the node while its agent
// does not run or cannot reach the API server. No new tree contains these pods.
func (n *NodeEnforcer) WithoutAgent() string {
	if c := meta.FindStatusCondition(n.Status.Conditions, string(ConditionHeldPacketsEvaluated)); c != nil {
		switch Reason(c.Reason) {
		case ReasonHoldingDisabled, ReasonNoCNIResults, ReasonEmptyCNIResults:
			return "no policy applies to its new pods"
		}
	}
	return "the failure policy decides about its new pods"
}

// stale reports whether the status is older than HeartbeatTimeout. A status without a
// heartbeat is also stale, because an agent always writes a heartbeat.
func (n *NodeEnforcer) stale(now time.Time) bool {
	return n.Status.Heartbeat == nil || now.Sub(n.Status.Heartbeat.Time) > HeartbeatTimeout
}
