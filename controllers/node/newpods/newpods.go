// Package newpods computes two conditions of a NodeEnforcer. PodsKnownEarly reports whether the
// node has the addresses of new pods before the pods start. HeldPacketsEvaluated reports
// whether the held packets of new pods are evaluated. Packets that cannot be evaluated are
// accepted or dropped according to the failure policy.
package newpods

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/report"
)

const (
	// failureWindow is how long the condition HeldPacketsEvaluated stays False after the
	// failure policy was last applied to a held packet.
	failureWindow = 10 * time.Minute
	// resultTimeout is how long pods may have addresses while the directory of CNI results is
	// empty. After this time, PodsKnownEarly becomes False. Normally, the container runtime
	// writes a CNI result before the API server receives the pod's address. But after a reboot,
	// the API server still contains the old addresses until the pods have restarted.
	resultTimeout = 30 * time.Second
)

// Observation contains what an agent observes about the new pods of its node.
type Observation struct {
	// Sandboxes is the newest list of sandboxes that the dataplane published. It is nil before
	// the first list. SandboxesErr is the error if a newer list cannot be read.
	Sandboxes    *report.Sandboxes
	SandboxesErr error
	// AddressedPods is the number of pods on the node that have an address. Pods in the host
	// network are not counted.
	AddressedPods int
	// Dataplane is the newest status of the dataplane, or nil if the dataplane does not
	// respond. Pointers to different statuses are never equal.
	Dataplane *report.Status
}

// Conditions computes the conditions of one node. The zero value is ready to use. The methods
// of Conditions must not be called concurrently.
type Conditions struct {
	// found is true once a list has contained a sandbox. emptySince is the time since which pods
	// have had addresses although no list has contained a sandbox. It is zero if there is no such
	// time.
	found      bool
	emptySince time.Time
	// The `before` field is the previous status of the dataplane. For each counter in `failures`,
	// the `failed` field contains the time of the last observed increase.
	before *report.Status
	failed [len(failures)]time.Time
}

// failures lists the counters of held packets to which the failure policy was applied. The most
// important counter is first. Each message completes a sentence that begins with "the failure
// policy decided about packets of new pods".
var failures = [...]struct {
	reason  v1alpha1.Reason
	count   func(*report.Held) uint64
	message string
}{
	{v1alpha1.ReasonHoldTimedOut, func(h *report.Held) uint64 { return h.TimedOut }, "because no tree contained the pods within the time of spec.hold"},
	{v1alpha1.ReasonTooManyHeldPackets, func(h *report.Held) uint64 { return h.OverLimit }, "because too many packets were held"},
	{v1alpha1.ReasonNoAgent, func(h *report.Held) uint64 { return h.NoAgent }, "because no agent was running"},
}

// At returns the conditions PodsKnownEarly and HeldPacketsEvaluated. The `now` parameter is the
// time of the observation, and must not decrease from one call to the next.
func (c *Conditions) At(o Observation, now time.Time) []metav1.Condition {
	c.observe(o, now)
	early := c.knownEarly(o, now)
	return []metav1.Condition{early, c.evaluated(o.Dataplane, early, now)}
}

// observe records the changes since the previous observation.
func (c *Conditions) observe(o Observation, now time.Time) {
	c.found = c.found || o.Sandboxes != nil && len(o.Sandboxes.Sandboxes) > 0
	switch {
	case c.found || o.Sandboxes == nil || o.AddressedPods == 0:
		c.emptySince = time.Time{}
	case c.emptySince.IsZero():
		c.emptySince = now
	}
	running := o.Dataplane
	if running == nil || running == c.before {
		return
	}
	// If the dataplane started long ago, its counters may have increased before this agent first
	// read them. Such increases do not count.
	last := running.Held
	switch {
	case c.before != nil && c.before.Started.Equal(running.Started):
		last = c.before.Held
	case now.Sub(running.Started) < failureWindow:
		last = report.Held{}
	}
	for i, f := range failures {
		if f.count(&running.Held) > f.count(&last) {
			c.failed[i] = now
		}
	}
	c.before = running
}

func (c *Conditions) knownEarly(o Observation, now time.Time) metav1.Condition {
	condition := func(status metav1.ConditionStatus, reason v1alpha1.Reason, message string) metav1.Condition {
		return v1alpha1.NewCondition(v1alpha1.ConditionPodsKnownEarly, status, reason, message)
	}
	switch {
	case o.SandboxesErr != nil:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonNoSandboxes, o.SandboxesErr.Error())
	case o.Sandboxes == nil:
		return condition(metav1.ConditionUnknown, v1alpha1.ReasonNoSandboxes, "the dataplane has not published the sandboxes of the node yet")
	case !o.Sandboxes.Available:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonNoCNIResults, o.Sandboxes.Reason)
	case o.Sandboxes.Skipped > 0:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonUnusableCNIResults, o.Sandboxes.SkippedReason)
	case c.found:
		return condition(metav1.ConditionTrue, v1alpha1.ReasonCNIResults, "the addresses of new pods are read from the CNI results of the node")
	case !c.emptySince.IsZero() && now.Sub(c.emptySince) > resultTimeout:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonEmptyCNIResults,
			"the directory of CNI results contains no pod, although pods of the node have addresses: "+
				"set spec.cniResults of the Enforcer to the directory in which the container runtime stores CNI results")
	}
	return condition(metav1.ConditionUnknown, v1alpha1.ReasonEmptyCNIResults, "the directory of CNI results contains no pod yet")
}

// evaluated returns the condition HeldPacketsEvaluated. The `early` parameter is the condition
// PodsKnownEarly.
func (c *Conditions) evaluated(running *report.Status, early metav1.Condition, now time.Time) metav1.Condition {
	condition := func(status metav1.ConditionStatus, reason v1alpha1.Reason, message string) metav1.Condition {
		return v1alpha1.NewCondition(v1alpha1.ConditionHeldPacketsEvaluated, status, reason, message)
	}
	const unrecognized = "packets of new pods are not held, because the dataplane cannot recognize new pods"
	switch {
	case running == nil:
		return condition(metav1.ConditionUnknown, v1alpha1.ReasonNoDataplane, "the dataplane does not respond")
	case running.Queueing == "":
		return condition(metav1.ConditionUnknown, v1alpha1.ReasonWaitingForDataplane, "the dataplane has not installed its rules yet")
	case running.Held.Limit == 0:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonHoldingDisabled,
			"spec.hold of the Enforcer is 0s: no policy applies to a new pod until a tree contains the pod")
	case !running.Held.CNIResults && !running.Held.NodePodRanges:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonNoCNIResults, unrecognized+" without CNI results or podCIDRs of the node")
	case early.Status == metav1.ConditionFalse && early.Reason == string(v1alpha1.ReasonEmptyCNIResults):
		return condition(metav1.ConditionFalse, v1alpha1.ReasonEmptyCNIResults, unrecognized+": "+early.Message)
	}
	for i, f := range failures {
		if at := c.failed[i]; !at.IsZero() && now.Sub(at) < failureWindow {
			return condition(metav1.ConditionFalse, f.reason, fmt.Sprintf(
				"the failure policy recently decided about packets of new pods, %s: \"sluice status\" on the node counts them", f.message))
		}
	}
	return condition(metav1.ConditionTrue, v1alpha1.ReasonHolding, "packets of new pods are held until policies decide about them")
}
