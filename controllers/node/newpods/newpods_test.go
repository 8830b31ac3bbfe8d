package newpods

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/report"
)

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// step is an observation and the condition that must result from it. The observation is made when
// the time `after` has passed since `start`.
type step struct {
	after time.Duration
	Observation
	status metav1.ConditionStatus
	reason v1alpha1.Reason
	words  string
}

// check makes the observations of all steps and compares the condition of one type after each
// step.
func check(t *testing.T, kind v1alpha1.ConditionType, steps []step) {
	t.Helper()
	var c Conditions
	for i, s := range steps {
		for _, got := range c.At(s.Observation, start.Add(s.after)) {
			if got.Type != string(kind) {
				continue
			}
			if got.Status != s.status || got.Reason != string(s.reason) || !strings.Contains(got.Message, s.words) {
				t.Errorf("step %d: %s %s: %s; want %s %s with %q", i, got.Status, got.Reason, got.Message, s.status, s.reason, s.words)
			}
		}
	}
}

func TestPodsKnownEarly(t *testing.T) {
	const (
		yes     = metav1.ConditionTrue
		no      = metav1.ConditionFalse
		unknown = metav1.ConditionUnknown
	)
	seen := func(pods int, list ...report.Sandbox) Observation {
		return Observation{Sandboxes: &report.Sandboxes{Available: true, Sandboxes: list}, AddressedPods: pods}
	}
	web := report.Sandbox{Namespace: "shop", Name: "web"}
	damaged := seen(1, web)
	damaged.SandboxesErr = errors.New("unexpected end")
	for name, steps := range map[string][]step{
		"no dataplane": {{0, Observation{AddressedPods: 1}, unknown, v1alpha1.ReasonNoSandboxes, "not published"}},
		"no directory": {{0, Observation{Sandboxes: &report.Sandboxes{Reason: "no such directory"}}, no, v1alpha1.ReasonNoCNIResults, "no such directory"}},
		"a damaged list": {
			{0, seen(1, web), yes, v1alpha1.ReasonCNIResults, "CNI results"},
			{1, damaged, no, v1alpha1.ReasonNoSandboxes, "unexpected end"},
		},
		"skipped results": {{0, Observation{Sandboxes: &report.Sandboxes{Available: true, Skipped: 1, SkippedReason: "too large"}}, no, v1alpha1.ReasonUnusableCNIResults, "too large"}},
		"an empty directory while pods run": {
			{0, seen(2), unknown, v1alpha1.ReasonEmptyCNIResults, "no pod yet"},
			{30 * time.Second, seen(2), unknown, v1alpha1.ReasonEmptyCNIResults, "no pod yet"},
			{31 * time.Second, seen(3), no, v1alpha1.ReasonEmptyCNIResults, "set spec.cniResults"},
			{32 * time.Second, seen(0), unknown, v1alpha1.ReasonEmptyCNIResults, "no pod yet"},
			// The 30 s start again with this pod, because at 32 s no pod had an address.
			{40 * time.Second, seen(1), unknown, v1alpha1.ReasonEmptyCNIResults, "no pod yet"},
			{71 * time.Second, seen(1), no, v1alpha1.ReasonEmptyCNIResults, "set spec.cniResults"},
			{72 * time.Second, seen(1, web), yes, v1alpha1.ReasonCNIResults, ""},
		},
		"an empty directory without pods": {
			{0, seen(0), unknown, v1alpha1.ReasonEmptyCNIResults, "no pod yet"},
			{time.Hour, seen(0), unknown, v1alpha1.ReasonEmptyCNIResults, "no pod yet"},
		},
		"the last sandbox ends": {
			{0, seen(1, web), yes, v1alpha1.ReasonCNIResults, ""},
			{time.Minute, seen(1), yes, v1alpha1.ReasonCNIResults, ""},
			{time.Hour, seen(1), yes, v1alpha1.ReasonCNIResults, ""},
		},
	} {
		t.Run(name, func(t *testing.T) { check(t, v1alpha1.ConditionPodsKnownEarly, steps) })
	}
}

func TestHeldPacketsEvaluated(t *testing.T) {
	const (
		yes     = metav1.ConditionTrue
		no      = metav1.ConditionFalse
		unknown = metav1.ConditionUnknown
	)
	results := &report.Sandboxes{Available: true, Sandboxes: []report.Sandbox{{Name: "web"}}}
	// dataplane returns the status of a dataplane. The `started` parameter is the time at which
	// the dataplane started, relative to the `start` variable.
	dataplane := func(started time.Duration, held report.Held) Observation {
		held.Limit, held.CNIResults = 3*time.Second, true
		return Observation{Sandboxes: results, Dataplane: &report.Status{Started: start.Add(started), Queueing: "queue expression", Held: held}}
	}
	unprepared, disabled, blind := dataplane(0, report.Held{}), dataplane(0, report.Held{}), dataplane(0, report.Held{})
	unprepared.Dataplane.Queueing = ""
	disabled.Dataplane.Held.Limit = 0
	blind.Dataplane.Held.CNIResults = false
	ranges := dataplane(0, report.Held{})
	ranges.Dataplane.Held.CNIResults, ranges.Dataplane.Held.NodePodRanges = false, true
	empty := dataplane(0, report.Held{})
	empty.Sandboxes, empty.AddressedPods = &report.Sandboxes{Available: true}, 1
	seven := dataplane(-time.Hour, report.Held{TimedOut: 7})
	for name, steps := range map[string][]step{
		"no dataplane":   {{0, Observation{Sandboxes: results}, unknown, v1alpha1.ReasonNoDataplane, "does not respond"}},
		"no rules yet":   {{0, unprepared, unknown, v1alpha1.ReasonWaitingForDataplane, "not installed"}},
		"disabled":       {{0, disabled, no, v1alpha1.ReasonHoldingDisabled, "spec.hold of the Enforcer is 0s"}},
		"no CNI results": {{0, blind, no, v1alpha1.ReasonNoCNIResults, "not held"}},
		"only podCIDRs":  {{0, ranges, yes, v1alpha1.ReasonHolding, ""}},
		"an empty directory": {
			{0, empty, yes, v1alpha1.ReasonHolding, ""},
			{time.Minute, empty, no, v1alpha1.ReasonEmptyCNIResults, "set spec.cniResults"},
		},
		"failures before the agent": {
			{0, seven, yes, v1alpha1.ReasonHolding, "held until"},
			{1, seven, yes, v1alpha1.ReasonHolding, ""},
			{2, dataplane(-time.Hour, report.Held{TimedOut: 8}), no, v1alpha1.ReasonHoldTimedOut, "within the time of spec.hold"},
		},
		"failures since a recent start": {{0, dataplane(-time.Minute, report.Held{NoAgent: 1}), no, v1alpha1.ReasonNoAgent, "no agent was running"}},
		"ten minutes": {
			{0, dataplane(-time.Hour, report.Held{}), yes, v1alpha1.ReasonHolding, ""},
			{time.Minute, dataplane(-time.Hour, report.Held{OverLimit: 1}), no, v1alpha1.ReasonTooManyHeldPackets, "too many packets"},
			{2 * time.Minute, dataplane(-time.Hour, report.Held{OverLimit: 1, TimedOut: 1}), no, v1alpha1.ReasonHoldTimedOut, ""},
			{3 * time.Minute, Observation{Sandboxes: results}, unknown, v1alpha1.ReasonNoDataplane, ""},
			{5 * time.Minute, dataplane(-time.Hour, report.Held{OverLimit: 2, TimedOut: 1}), no, v1alpha1.ReasonHoldTimedOut, ""},
			{12 * time.Minute, dataplane(-time.Hour, report.Held{OverLimit: 2, TimedOut: 1}), no, v1alpha1.ReasonTooManyHeldPackets, ""},
			{15 * time.Minute, dataplane(-time.Hour, report.Held{OverLimit: 2, TimedOut: 1}), yes, v1alpha1.ReasonHolding, ""},
		},
		"another dataplane": {
			{0, seven, yes, v1alpha1.ReasonHolding, ""},
			{time.Minute, dataplane(30*time.Second, report.Held{TimedOut: 1}), no, v1alpha1.ReasonHoldTimedOut, ""},
			// The dataplane that started first enforces again.
			{time.Hour, dataplane(-time.Hour, report.Held{TimedOut: 9}), yes, v1alpha1.ReasonHolding, ""},
		},
	} {
		t.Run(name, func(t *testing.T) { check(t, v1alpha1.ConditionHeldPacketsEvaluated, steps) })
	}
}
