package nodeenforcer

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/message"
	"github.com/sluicenet/sluice/controllers/node/observed"
	"github.com/sluicenet/sluice/dataplane/report"
)

const (
	// behindDelay is the time after which the condition Ready reports that the dataplane
	// enforces an earlier generation than the published one. The delay prevents
	// unnecessary writes, because a dataplane is often a few milliseconds behind.
	behindDelay = 10 * time.Second
	// degradedTime is the time for which the condition Degraded stays True after a counter of
	// dropped packets or repairs has increased.
	degradedTime = time.Minute
)

// observeProgress records whether the dataplane has acknowledged another generation.
func (s *Source) observeProgress(published *v1alpha1.Generation, now time.Time) {
	acknowledged := number(s.acknowledged)
	if acknowledged != s.progress || acknowledged >= number(published) {
		s.progress, s.progressed = acknowledged, now
	}
}

// readyCondition returns the condition Ready. The `behind` parameter is true if the dataplane
// has been behind for some time, that is, if it still enforces an older generation than the published
// one.
func readyCondition(s *v1alpha1.NodeEnforcerStatus, running *report.Status, behind bool) metav1.Condition {
	switch {
	case running == nil:
		return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNoDataplane,
			"the dataplane does not respond: open connections continue, the failure policy decides about new flows")
	case number(s.Acknowledged) == 0 && running.Rejected != nil:
		return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTreeRejected, rejected(running.Rejected))
	case number(s.Acknowledged) == 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWaitingForDataplane,
			"the dataplane does not enforce any generation yet")
	case running.Bridges != nil && len(running.Bridges.Disabled) > 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBridgesUnfiltered, unfiltered(running.Bridges))
	case observed.Bypass(running) != "":
		return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPacketsBypassNetfilter, observed.Bypass(running))
	case behind:
		return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonWaitingForDataplane,
			"the dataplane enforces an earlier generation")
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing,
		"the dataplane enforces the published generation")
}

// rejected returns a message with the error of the dataplane. The message contains no time.
// Otherwise, it would change each time the dataplane rejects the same tree again.
func rejected(r *report.RejectedTree) string {
	return "the dataplane cannot use the published tree: " + message.Truncate(r.Reason, message.Limit/2)
}

// unfiltered returns a message that lists the missing br_netfilter settings.
func unfiltered(b *report.Bridges) string {
	return fmt.Sprintf("policies are not enforced between the pods of %s: load br_netfilter and set to 1: %s",
		message.Join(b.Names, ", "), strings.Join(b.Disabled, ", "))
}

func syncedCondition(o *Observation) metav1.Condition {
	condition := func(reason v1alpha1.Reason, text string) metav1.Condition {
		return v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionFalse, reason, text)
	}
	switch {
	case o.PublishErr != nil:
		return condition(v1alpha1.ReasonPublishingFailed, o.PublishErr.Error())
	case o.Published.Generation == 0:
		return condition(v1alpha1.ReasonNotSyncedYet, "not all objects have been read yet: the published generation remains enforced")
	case o.ConnectionErr != nil:
		return condition(v1alpha1.ReasonAPIServerUnreachable, o.ConnectionErr.Error())
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonWatching, "all objects are watched")
}

// degradedCondition returns the condition Degraded. The condition is True for degradedTime after
// a counter has increased from one dataplane status to the next. Counts in the first status are
// not an increase, because they may be older than this agent.
func (s *Source) degradedCondition(o *Observation) metav1.Condition {
	running := o.Dataplane
	degraded := func(reason v1alpha1.Reason, message string) metav1.Condition {
		return v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, reason, message)
	}
	if running != nil && running != s.before {
		if s.before != nil && running.Repairs > s.before.Repairs {
			s.repaired = o.At
		}
		if s.before != nil && drops(running) > drops(s.before) {
			s.dropped = o.At
		}
		s.before = running
	}
	recent := func(at time.Time) bool { return !at.IsZero() && o.At.Sub(at) < degradedTime }
	switch {
	case o.PublishErr != nil && o.Published.Generation != 0:
		return degraded(v1alpha1.ReasonPublishingFailed, o.PublishErr.Error())
	case running != nil && running.Bridges != nil && running.Bridges.TaggedFrames != "":
		return degraded(v1alpha1.ReasonBridgesUnfiltered, fmt.Sprintf("VLAN-tagged frames between the pods of %s are not dropped: %s",
			message.Join(running.Bridges.Names, ", "), running.Bridges.TaggedFrames))
	case running != nil && running.Rejected != nil:
		return degraded(v1alpha1.ReasonTreeRejected, rejected(running.Rejected))
	case recent(s.dropped):
		return degraded(v1alpha1.ReasonPacketsDropped, "packets found a queue full")
	case recent(s.repaired):
		return degraded(v1alpha1.ReasonRulesRepaired, "another program changed the rules; they have been repaired")
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "everything works as expected")
}

// drops returns the number of packets that never reached a worker.
func drops(s *report.Status) uint64 { return s.Verdicts.QueueDropped + s.Verdicts.SocketDropped }
