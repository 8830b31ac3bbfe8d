package v1alpha1

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HeartbeatTimeout is the age from which the status of a node no longer counts.
// Agents write at least every 12 seconds; the rest is a margin for a busy API
// server and for clocks that differ. An agent that lost the API server leaves
// its dataplane enforcing, but what the dataplane enforces is then unknown.
const HeartbeatTimeout = time.Minute

// NotEnforcing returns why the node is not known to enforce policies, or "" if
// it is known to.
func (n *NodeEnforcer) NotEnforcing(now time.Time) string {
	ready := meta.FindStatusCondition(n.Status.Conditions, string(ConditionReady))
	switch {
	case ready == nil:
		return "no agent has reported yet"
	case n.stale(now):
		return fmt.Sprintf("its agent has not reported for more than %s", HeartbeatTimeout)
	case ready.Status != metav1.ConditionTrue:
		return ready.Message
	}
	return ""
}

// stale reports whether the status is older than HeartbeatTimeout. A status
// without a heartbeat was not written by an agent.
func (n *NodeEnforcer) stale(now time.Time) bool {
	return n.Status.Heartbeat == nil || now.Sub(n.Status.Heartbeat.Time) > HeartbeatTimeout
}
