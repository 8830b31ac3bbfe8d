package node

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/message"
	"github.com/sluicenet/sluice/controllers/node/newpods"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// statusSource computes the status of the node's NodeEnforcer.
type statusSource struct {
	stateDir   string
	publisher  *publisher
	sandboxes  *sandboxes
	dataplane  *dataplane
	connection *connection

	// counted is the generation of the tree in which pods and policies were counted. addressed
	// is the number of pods with addresses.
	counted   uint64
	pods      v1alpha1.PodCounts
	addressed int
	policies  int32
	// newPods computes the conditions about new pods.
	newPods newpods.Conditions
	// before is the dataplane status that was read last. It is nil until the dataplane responds.
	before *report.Status
	// repaired and dropped report whether the counters of repairs and dropped packets increased
	// between the last two dataplane statuses. The results are stored because the node's status
	// is computed more often than the dataplane's status is read.
	repaired, dropped bool
	// acknowledged is the newest generation that the dataplane acknowledged.
	acknowledged *v1alpha1.Generation
}

// status returns the current status.
func (s *statusSource) status() (v1alpha1.NodeEnforcerStatus, error) {
	out := v1alpha1.NodeEnforcerStatus{BootID: bootID()}
	published := s.publisher.lastPublication()
	if published.generation != 0 {
		out.Published = &v1alpha1.Generation{
			Number: int64(published.generation), Time: metav1.NewMicroTime(published.at.Truncate(time.Microsecond)),
			Contains: resourceVersions(s.publisher.state.atMostLast(published.contains)),
		}
		out.Tree = &v1alpha1.Tree{SizeBytes: published.size, CompileMicroseconds: published.took.Microseconds()}
		if s.counted != published.generation {
			if err := s.count(); err != nil {
				return out, err
			}
		}
	}
	out.Pods, out.Policies = s.pods, s.policies
	running := s.dataplane.status()
	if running != nil {
		s.describe(&out, running)
	}
	out.Acknowledged = s.acknowledged
	sandboxes, err := s.sandboxes.newest()
	out.Conditions = append(
		[]metav1.Condition{readyCondition(&out, running), s.syncedCondition(), s.degradedCondition(running)},
		s.newPods.At(newpods.Observation{
			Sandboxes: sandboxes, SandboxesErr: err, AddressedPods: s.addressed, Dataplane: running,
		}, time.Now())...)
	return out, nil
}

// count counts the pods and the policies in the published tree.
func (s *statusSource) count() error {
	t, err := tree.Open(statedir.Current(s.stateDir))
	if err != nil {
		return err
	}
	s.counted, s.pods, s.addressed = t.Generation(), v1alpha1.PodCounts{}, 0
	policies := map[string]struct{}{}
	for pod := range t.Pods() {
		s.pods.Local++
		if pod.IngressIsolated || pod.EgressIsolated {
			s.pods.Isolated++
		}
		if len(pod.Addresses) == 0 {
			continue
		}
		s.addressed++
		// No pod has the address 0.0.0.0 or ::, so only the policies of this pod apply to the
		// flows between the two addresses.
		here, other := pod.Addresses[0], netip.IPv4Unspecified()
		if here.Is6() {
			other = netip.IPv6Unspecified()
		}
		out := t.Evaluate(flow.Flow{Src: here, Dst: other, Protocol: flow.TCP})
		in := t.Evaluate(flow.Flow{Src: other, Dst: here, Protocol: flow.TCP})
		for _, side := range [...]rule.Side{out.Egress, in.Ingress} {
			for _, name := range t.IsolatedBy(side) {
				policies[name] = struct{}{}
			}
		}
	}
	s.policies = int32(len(policies))
	return t.Close()
}

// describe adds the status of the dataplane to the status of the node.
func (s *statusSource) describe(out *v1alpha1.NodeEnforcerStatus, running *report.Status) {
	if running.Generation != 0 && (s.acknowledged == nil || s.acknowledged.Number != int64(running.Generation)) {
		s.acknowledged = &v1alpha1.Generation{Number: int64(running.Generation), Time: metav1.NowMicro()}
	}
	if s.acknowledged != nil {
		// While generations are published faster than statuses are read, the acknowledged
		// generation is usually older than the published generation.
		if contains := s.publisher.containedBy(uint64(s.acknowledged.Number)); contains != nil {
			s.acknowledged.Contains = resourceVersions(s.publisher.state.atMostLast(contains))
		}
	}
	v := &running.Verdicts
	out.Verdicts = v1alpha1.Verdicts{Allowed: int64(v.Accepted), Denied: int64(v.Denied)}
	for _, n := range v.Unreadable {
		out.Verdicts.Unreadable += int64(n)
	}
	out.QueueDrops = int64(drops(running))
	again := &running.Reevaluated
	out.ConnectionsReevaluated = int64(again.Accepted + again.Denied + again.Cleared)
	if running.Queueing == "" {
		// The dataplane has no tree yet.
		return
	}
	out.Kernel = &v1alpha1.Kernel{Release: kernelRelease()}
	// The dataplane reports one of these two texts in the field Queueing of its status.
	switch running.Queueing {
	case "queue expression":
		out.Kernel.Queueing = v1alpha1.QueueExpression
	case "NFQUEUE target":
		out.Kernel.Queueing = v1alpha1.QueueTarget
	}
}

func kernelRelease() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// bootID returns the boot ID that the kubelet also reports, or "" if it cannot be read.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

func readyCondition(s *v1alpha1.NodeEnforcerStatus, running *report.Status) metav1.Condition {
	switch {
	case running == nil:
		return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNoDataplane,
			"the dataplane does not respond: open connections continue, the failure policy decides about new flows")
	case number(s.Acknowledged) == 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWaitingForDataplane,
			"the dataplane does not enforce any generation yet")
	case running.Bridges != nil && len(running.Bridges.Disabled) > 0:
		return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBridgesUnfiltered, unfiltered(running.Bridges))
	case number(s.Acknowledged) < number(s.Published):
		return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonWaitingForDataplane,
			"the dataplane enforces an earlier generation")
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing,
		"the dataplane enforces the published generation")
}

// unfiltered returns a message that lists the missing br_netfilter settings.
func unfiltered(b *report.Bridges) string {
	return fmt.Sprintf("policies are not enforced between the pods of %s: load br_netfilter and set to 1: %s",
		message.Join(b.Names, ", "), strings.Join(b.Disabled, ", "))
}

func (s *statusSource) syncedCondition() metav1.Condition {
	if err := s.publisher.check(nil); errors.Is(err, errFormat) {
		return v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionFalse, v1alpha1.ReasonPublishingFailed, err.Error())
	}
	if s.publisher.lastPublication().generation == 0 {
		return v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionFalse, v1alpha1.ReasonNotSyncedYet,
			"not all objects have been read yet: the published generation remains enforced")
	}
	if err := s.connection.check(nil); err != nil {
		return v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionFalse, v1alpha1.ReasonAPIServerUnreachable, err.Error())
	}
	if err := s.publisher.check(nil); err != nil {
		return v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionFalse, v1alpha1.ReasonPublishingFailed, err.Error())
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonWatching, "all objects are watched")
}

// degradedCondition returns the condition Degraded. The condition is True while a counter
// increases from one dataplane status to the next. The counts in the first status do not count
// as an increase, because they may be older than this agent.
func (s *statusSource) degradedCondition(running *report.Status) metav1.Condition {
	degraded := func(reason v1alpha1.Reason, message string) metav1.Condition {
		return v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, reason, message)
	}
	switch {
	case running == nil:
		s.repaired, s.dropped = false, false
	case running != s.before:
		if s.before != nil {
			s.repaired, s.dropped = running.Repairs > s.before.Repairs, drops(running) > drops(s.before)
		}
		s.before = running
	}
	if err := s.publisher.check(nil); err != nil && s.publisher.lastPublication().generation != 0 {
		return degraded(v1alpha1.ReasonPublishingFailed, err.Error())
	}
	switch {
	case running != nil && running.Bridges != nil && running.Bridges.TaggedFrames != "":
		return degraded(v1alpha1.ReasonBridgesUnfiltered, fmt.Sprintf("VLAN-tagged frames between the pods of %s are not dropped: %s",
			message.Join(running.Bridges.Names, ", "), running.Bridges.TaggedFrames))
	case s.dropped:
		return degraded(v1alpha1.ReasonPacketsDropped, "packets found a queue full")
	case s.repaired:
		return degraded(v1alpha1.ReasonRulesRepaired, "another program changed the rules; they have been repaired")
	}
	return v1alpha1.NewCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "everything works as expected")
}

// drops returns the number of packets that no worker received.
func drops(s *report.Status) uint64 { return s.Verdicts.QueueDropped + s.Verdicts.SocketDropped }
