package flood_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/flood"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

func TestTracker(t *testing.T) {
	one, two := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::2")
	out, in := ruleset.Flooder{Address: one}, ruleset.Flooder{Address: two, Ingress: true}
	names := map[netip.Addr]string{one: "default/crawler"}
	begin := time.Unix(1000, 0)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	crawler := func(perSecond uint64, since, last int) report.FloodingPod {
		return report.FloodingPod{Pod: "default/crawler", Address: one, Direction: "egress", PerSecond: perSecond, Since: at(since), Last: at(last)}
	}
	other := report.FloodingPod{Address: two, Direction: "ingress", PerSecond: 7000, Since: at(2), Last: at(2)}
	var tracker flood.Tracker
	for _, step := range []struct {
		second int
		counts map[ruleset.Flooder]uint64
		want   []report.FloodingPod
	}{
		{0, map[ruleset.Flooder]uint64{in: 10}, nil},
		{1, map[ruleset.Flooder]uint64{out: 5000}, []report.FloodingPod{crawler(5000, 1, 1)}},
		{2, map[ruleset.Flooder]uint64{out: 11000, in: 7000}, []report.FloodingPod{other, crawler(6000, 1, 2)}},
		// The counter restarted at 0, and one sample is missing.
		{4, map[ruleset.Flooder]uint64{out: 9000, in: 7000}, []report.FloodingPod{other, crawler(6000, 1, 4)}},
		{62, nil, []report.FloodingPod{other, crawler(6000, 1, 4)}},
		{63, nil, []report.FloodingPod{crawler(6000, 1, 4)}},
		{65, nil, nil},
		{66, map[ruleset.Flooder]uint64{out: 4500}, []report.FloodingPod{crawler(4500, 66, 66)}},
		// The pod is deleted, but its name is still known.
		{67, nil, []report.FloodingPod{crawler(4500, 66, 66)}},
		{68, map[ruleset.Flooder]uint64{out: 9000}, []report.FloodingPod{crawler(9000, 66, 68)}},
		// The kernel forgets the pod, and then counts from 0.
		{69, nil, []report.FloodingPod{crawler(9000, 66, 68)}},
		{70, map[ruleset.Flooder]uint64{out: 9100}, []report.FloodingPod{crawler(9100, 66, 70)}},
		// The pod stays in the sample for more than a minute with a low rate, and then floods again.
		{71, map[ruleset.Flooder]uint64{out: 9200}, []report.FloodingPod{crawler(9100, 66, 70)}},
		{131, map[ruleset.Flooder]uint64{out: 9300}, nil},
		{132, map[ruleset.Flooder]uint64{out: 9600}, []report.FloodingPod{crawler(300, 132, 132)}},
	} {
		if step.second == 67 {
			names = nil
		}
		tracker.Add(step.counts, names, at(step.second))
		if diff := cmp.Diff(step.want, tracker.Pods(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("second %d: (-want +got):\n%s", step.second, diff)
		}
	}
}
