package queue

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
)

func TestHistogramBounds(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		0: 250, 1: 250, 249: 250, 250: 250, 251: 500, 500: 500, 501: 1000, 1000: 1000, 1001: 2000,
		131072 * time.Microsecond: 131072 * time.Microsecond, 131072*time.Microsecond + 1: 0, time.Hour: 0, -1: 250,
	} {
		var one histogram
		one.observe(d)
		var h report.Histogram
		one.addTo(&h)
		if h.Count != 1 || h.Sum != max(d, 0) || len(h.Buckets) != buckets {
			t.Errorf("%s: %+v", d, h)
		}
		for bound, n := range h.Buckets {
			if inside := want != 0 && bound >= want; n == 1 != inside {
				t.Errorf("%s: %d in the bucket up to %s, want it first in %s", d, n, bound, want)
			}
		}
	}
}
