package queue

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
)

// sampled is the sampling interval in batches. In one of 64 batches, a worker measures the
// duration of the batch and of the first lookup. For these measurements, the worker reads the
// clock four times. For example, if each clock read takes 50 ns and each batch contains one
// packet, sampling costs 3 ns per packet.
const sampled = 64

// buckets is the number of upper bounds of a histogram. The first bound is firstBound.
// Each later bound is twice the previous bound. The last bound is 131 ms.
const (
	buckets    = 20
	firstBound = 250 * time.Nanosecond
)

// histogram counts durations by bucket. Only one goroutine writes to a histogram.
type histogram struct {
	counts [buckets + 1]atomic.Uint64
	sum    atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	d = max(d, 0)
	// Set i to the index of the first bound that is greater than or equal to d.
	i := bits.Len64(uint64((d + firstBound - 1) / firstBound))
	if i > 0 && uint64(d) <= uint64(firstBound)<<(i-1) {
		i--
	}
	h.counts[min(i, buckets)].Add(1)
	h.sum.Add(int64(d))
}

// addTo adds the counts of h to a total.
func (h *histogram) addTo(sum *report.Histogram) {
	if sum.Buckets == nil {
		sum.Buckets = make(map[time.Duration]uint64, buckets)
	}
	below := uint64(0)
	for i := range buckets {
		below += h.counts[i].Load()
		sum.Buckets[firstBound<<i] += below
	}
	sum.Count += below + h.counts[buckets].Load()
	sum.Sum += time.Duration(h.sum.Load())
}
