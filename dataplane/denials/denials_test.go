package denials

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/report"
)

func TestLogLineNamesPacketAndPolicies(t *testing.T) {
	from, to := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	for name, tt := range map[string]struct {
		event   report.Event
		omitted uint64
		want    []any
	}{
		"denied for ingress, 7 lines omitted": {report.Event{
			Verdict: report.Deny, Protocol: "TCP", Src: from, Dst: from, SrcPort: 40000, DstPort: 80, DstPod: "shop/db",
			Egress:  &report.Side{Verdict: "Allow", Reason: "NotIsolated"},
			Ingress: &report.Side{Verdict: "Deny", Reason: "NoRuleMatched", IsolatedBy: []string{"shop/deny"}},
		}, 7, []any{
			"verdict", "Deny", "protocol", "TCP", "src", "10.0.0.1:40000", "dst", "10.0.0.1:80", "dstPod", "shop/db",
			"ingress", "NoRuleMatched", "ingressIsolatedBy",
			[]string{"shop/deny"},
			"omitted", uint64(7),
		}},
		"protocol without ports": {report.Event{Verdict: report.Deny, Protocol: "ICMP", Src: from, Dst: to, SrcPod: "shop/web"}, 0, []any{
			"verdict", "Deny", "protocol", "ICMP", "src", "10.0.0.1", "dst", "fd00::1", "srcPod", "shop/web",
		}},
		"unreadable packet": {report.Event{Verdict: report.Unreadable, Fault: "fragment"}, 0, []any{"verdict", "Unreadable", "fault", "fragment"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, values(&tt.event, tt.omitted)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
