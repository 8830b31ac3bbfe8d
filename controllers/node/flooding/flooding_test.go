package flooding_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	"github.com/sluicenet/sluice/controllers/node/flooding"
	"github.com/sluicenet/sluice/dataplane/report"
)

func TestReport(t *testing.T) {
	recorder := events.NewFakeRecorder(10)
	var status *report.Status
	r := &flooding.Reporter{
		Recorder: recorder,
		Status:   func() *report.Status { return status },
		UID:      func(context.Context, types.NamespacedName) types.UID { return "7" },
	}
	begin := time.Unix(1000, 0)
	crawler := report.FloodingPod{Pod: "default/crawler", Address: netip.MustParseAddr("10.0.0.1"), Direction: "egress", PerSecond: 40000, Since: begin}
	database := report.FloodingPod{Pod: "shop/db", Address: netip.MustParseAddr("10.0.0.2"), Direction: "ingress", PerSecond: 9000, Since: begin}
	unnamed := report.FloodingPod{Address: netip.MustParseAddr("10.0.0.3"), Direction: "egress", PerSecond: 5000, Since: begin}
	again := crawler
	again.Since = begin.Add(time.Hour)
	opens := "Warning TooManyNewFlows default/crawler opens 40000 new flows per second, so Sluice evaluates its new flows with limited processor time"
	receives := "Warning TooManyNewFlows shop/db receives 9000 new flows per second, so Sluice evaluates its new flows with limited processor time"
	for _, step := range []struct {
		name   string
		status *report.Status
		want   []string
	}{
		{"no dataplane", nil, nil},
		{"no flood", &report.Status{}, nil},
		{"a flood", &report.Status{Flooding: []report.FloodingPod{crawler, unnamed}}, []string{opens}},
		{"the same flood, and another one", &report.Status{Flooding: []report.FloodingPod{crawler, database}}, []string{receives}},
		{"a restarted dataplane", nil, nil},
		{"the same floods", &report.Status{Flooding: []report.FloodingPod{crawler, database}}, nil},
		{"the end", &report.Status{}, nil},
		{"a new flood", &report.Status{Flooding: []report.FloodingPod{again}}, []string{opens}},
	} {
		status = step.status
		r.Report(t.Context())
		var got []string
		for len(recorder.Events) > 0 {
			got = append(got, <-recorder.Events)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: events (-want +got):\n%s", step.name, diff)
		}
	}
}
