package observe_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/observe"
)

func TestTracker(t *testing.T) {
	type samples = []observe.Sample
	none := observe.State{}
	state := func(bypassed bool, sent, seen uint64) observe.State {
		return observe.State{Compared: true, Bypassed: bypassed, Sample: observe.Sample{Sent: sent, Seen: seen}}
	}
	for name, tt := range map[string]struct {
		every   time.Duration
		samples samples
		want    observe.State
	}{
		"one sample":                {5 * time.Second, samples{{1000, 0}}, none},
		"few packets":               {5 * time.Second, samples{{0, 0}, {99, 0}}, none},
		"every packet is seen":      {5 * time.Second, samples{{7, 3}, {107, 103}}, state(false, 100, 100)},
		"no packet is seen":         {5 * time.Second, samples{{7, 3}, {107, 3}}, state(true, 100, 0)},
		"the kernel merges":         {5 * time.Second, samples{{0, 0}, {6400, 100}}, state(false, 6400, 100)},
		"only probes are seen":      {5 * time.Second, samples{{0, 0}, {6400, 99}}, state(true, 6400, 99)},
		"slowly, within a minute":   {5 * time.Second, samples{{0, 0}, {50, 0}, {99, 0}, {110, 0}}, state(true, 110, 0)},
		"slowly, over hours":        {time.Minute, samples{{0, 0}, {50, 0}, {99, 0}, {110, 0}, {180, 0}}, none},
		"seen again":                {5 * time.Second, samples{{0, 0}, {200, 0}, {400, 150}}, state(false, 200, 150)},
		"idle after a bypass":       {time.Minute, samples{{0, 0}, {200, 0}, {201, 0}, {202, 0}}, state(true, 200, 0)},
		"the rules are reinstalled": {5 * time.Second, samples{{0, 500}, {200, 2}, {290, 2}}, none},
		"the interface is replaced": {5 * time.Second, samples{{900, 500}, {0, 500}, {99, 500}}, none},
	} {
		t.Run(name, func(t *testing.T) {
			var tracker observe.Tracker
			at := time.Unix(0, 0)
			for _, s := range tt.samples {
				tracker.Add(map[uint32]observe.Sample{4: s}, at)
				at = at.Add(tt.every)
			}
			if diff := cmp.Diff(map[uint32]observe.State{4: tt.want}, tracker.States()); diff != "" {
				t.Errorf("states (-want +got):\n%s", diff)
			}
			tracker.Add(nil, at)
			if got := tracker.States(); len(got) > 0 {
				t.Errorf("states of interfaces that are gone: %v", got)
			}
		})
	}
}
