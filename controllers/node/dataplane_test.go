package node

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// TestReadsBeforeDataplaneStarts publishes a tree before the dataplane responds, as it happens when
// both containers of a pod start. The agent must soon read the status again, so that it does not read
// the acknowledgement of the dataplane only after maxPoll.
func TestReadsBeforeDataplaneStarts(t *testing.T) {
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var reads []time.Duration
		log := funcr.New(func(_, args string) {
			if strings.Contains(args, "does not respond") {
				reads = append(reads, time.Since(began))
			}
		}, funcr.Options{Verbosity: 1})
		d := newDataplane(dir, m, log)
		ctx, cancel := context.WithTimeout(t.Context(), 3*maxPoll)
		defer cancel()
		d.published(publication{generation: 1, at: began})
		if err := d.run(ctx); err != nil {
			t.Error(err)
		}
		// The first read is that of the start. After each read, the interval is twice as long.
		want := []time.Duration{0}
		for at, interval := firstPoll, firstPoll; at < 3*maxPoll; at += interval {
			want = append(want, at)
			interval = min(2*interval, maxPoll)
		}
		if diff := cmp.Diff(want, reads); diff != "" {
			t.Errorf("times of the reads (-want +got):\n%s", diff)
		}
	})
}
