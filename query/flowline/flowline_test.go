package flowline_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/query/flowline"
	"github.com/sluicenet/sluice/test/golden"
)

func TestText(t *testing.T) {
	at := time.Date(2026, 11, 22, 20, 0, 0, 123e6, time.UTC)
	third := 3
	web4, db4 := netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("10.0.2.1")
	web6, db6 := netip.MustParseAddr("fd00:1::1"), netip.MustParseAddr("fd00:2::1")
	isolated := &report.Side{Verdict: "Deny", Reason: "NoRuleMatched", IsolatedBy: []string{"default/db", "default/deny-all"}}
	open := &report.Side{Verdict: "Allow", Reason: "NotIsolated"}
	passed := []report.Passed{{Tier: "Admin", Policy: "trusted", Rule: 1}}
	events := []report.Event{
		{Verdict: report.Deny, Protocol: "TCP", Src: web4, Dst: db4, SrcPort: 40000, DstPort: 80, SrcPod: "default/web", DstPod: "default/db", Egress: open, Ingress: isolated},
		{
			Verdict: report.Allow, Protocol: "UDP", Src: web6, Dst: db6, SrcPort: 40000, DstPort: 53, DstPod: "default/db",
			Ingress: &report.Side{Verdict: "Allow", Reason: "Rule", Policy: new("default/db"), Rule: &third, IsolatedBy: []string{"default/db"}},
		},
		{Verdict: report.Deny, Protocol: "ICMP", Src: web4, Dst: db4, SrcPod: "default/web", Egress: isolated, Missed: 17},
		{Verdict: report.Allow, Protocol: "SCTP", Src: web4, Dst: db4, DstPod: "default/db", Ingress: &report.Side{Verdict: "Allow", Reason: "SameNode"}},
		{Verdict: report.MidStream, Protocol: "TCP", Src: db4, Dst: web4, SrcPort: 80, DstPort: 40000, DstPod: "default/web", Ingress: isolated},
		{Verdict: report.Deny, Protocol: "47", Src: web4, Dst: db4, DstPod: "default/db", Ingress: isolated},
		{Verdict: report.Unreadable, Fault: "truncated"},
		{Verdict: report.Deny, Protocol: "ICMP", Src: web4, Dst: db4, SrcPod: "default/web", Egress: isolated, Held: 38*time.Millisecond + 1},
		{
			Verdict: report.Deny, Protocol: "TCP", Src: web4, Dst: db4, SrcPort: 40000, DstPort: 80, SrcPod: "default/web", DstPod: "default/db",
			Egress:  &report.Side{Verdict: "Allow", Reason: "NotIsolated", Passed: passed},
			Ingress: &report.Side{Verdict: "Deny", Reason: "Rule", Tier: "Baseline", Policy: new("default-deny"), Rule: &third, Passed: passed},
		},
		{Verdict: report.Unknown, Protocol: "TCP", Src: web4, Dst: db4, SrcPort: 40000, DstPort: 80, DstPod: "default/db", Held: 3 * time.Second},
	}
	var got strings.Builder
	for _, e := range events {
		e.Time = at
		got.WriteString(flowline.Text(&e) + "\n")
	}
	golden.Compare(t, filepath.Join("testdata", "flowtext.golden"), got.String())
}
