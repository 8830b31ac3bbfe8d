// Package flowline formats the events of flows as lines of text.
package flowline

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/query/internal/phrase"
)

// Text formats an event as one line without a trailing newline. If the dataplane omitted
// events before this event, Text puts a line with their number before the event.
func Text(e *report.Event) string { return format(e, false) }

// Wide formats an event like Text, with the date and the policies that isolate the pods.
func Wide(e *report.Event) string { return format(e, true) }

func format(e *report.Event, wide bool) string {
	layout := "15:04:05.000"
	if wide {
		layout = "2006-01-02T15:04:05.000Z07:00"
	}
	var b strings.Builder
	if e.Missed > 0 {
		fmt.Fprintf(&b, "(up to %d not shown)\n", e.Missed)
	}
	fmt.Fprintf(&b, "%s %-9s ", e.Time.Format(layout), e.Verdict)
	if e.Verdict == report.Unreadable {
		fmt.Fprintf(&b, "packet dropped: %s", e.Fault)
		return b.String()
	}
	protocol, err := flow.ParseProtocol(e.Protocol)
	ports := err == nil && protocol.HasPorts()
	fmt.Fprintf(&b, "%s %s -> %s", e.Protocol, flowEnd(e.Src, e.SrcPort, e.SrcPod, ports), flowEnd(e.Dst, e.DstPort, e.DstPod, ports))
	if e.Verdict == report.Unknown {
		b.WriteString("; a pod is unknown: the failure policy decided")
	}
	if e.Held > 0 {
		fmt.Fprintf(&b, "; held for %s", max(e.Held.Round(time.Millisecond), time.Millisecond))
	}
	if e.Egress != nil {
		fmt.Fprintf(&b, "; egress: %s%s", Side(rule.Egress, e.Egress), isolation(e.Egress, wide))
	}
	if e.Ingress != nil {
		fmt.Fprintf(&b, "; ingress: %s%s", Side(rule.Ingress, e.Ingress), isolation(e.Ingress, wide))
	}
	return b.String()
}

func flowEnd(a netip.Addr, port uint16, pod string, ports bool) string {
	text := a.String()
	if ports {
		text = netip.AddrPortFrom(a, port).String()
	}
	if pod != "" {
		text = pod + " " + text
	}
	return text
}

// isolation describes the policies that isolate the pod of a side, if a rule decided.
func isolation(s *report.Side, wide bool) string {
	if !wide || len(s.IsolatedBy) == 0 || s.Reason == rule.NoRuleMatched.String() {
		return ""
	}
	return " (isolated by " + strings.Join(s.IsolatedBy, ", ") + ")"
}

// Side describes the reason for the verdict of one side, and the rules that passed the flow to
// the next tier.
func Side(d rule.Direction, s *report.Side) string {
	var b strings.Builder
	for i := range s.Passed {
		p := &s.Passed[i]
		fmt.Fprintf(&b, "passed by %s %s (%s tier), ", p.Policy, phrase.Place(d, p.Rule), p.Tier)
	}
	b.WriteString(reasonText(d, s))
	return b.String()
}

func reasonText(d rule.Direction, s *report.Side) string {
	switch s.Reason {
	case rule.NotIsolated.String():
		return "no policy isolates it"
	case rule.SameNode.String():
		return "from its own node"
	case rule.SamePod.String():
		return "to itself"
	case rule.NoRuleMatched.String():
		return "no rule of " + strings.Join(s.IsolatedBy, ", ") + " allows it"
	}
	if s.Policy == nil || s.Rule == nil {
		return s.Reason
	}
	text := fmt.Sprintf("%s by %s %s", strings.ToLower(phrase.Verdict(s.Verdict)), *s.Policy, phrase.Place(d, *s.Rule))
	if s.Tier != "" {
		text += fmt.Sprintf(" (%s tier)", s.Tier)
	}
	return text
}
