package bench_test

import (
	"flag"
	"slices"
	"testing"
	"time"
)

// The function `once` reports whether the flag -benchtime=1x is set. With this flag, benchmarks
// run only to show that they work, and can do less work.
func once() bool { return flag.Lookup("test.benchtime").Value.String() == "1x" }

// choose returns the parameter `proof` if benchmarks run only to show that they work, as the
// function `once` reports. Otherwise it returns the parameter `full`.
func choose(full, proof int) int {
	if once() {
		return proof
	}
	return full
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// medianRatio returns the median of a[i]/b[i], where i is the index of a round.
func medianRatio(a, b []float64) float64 {
	return medianOf(a, b, func(x, y float64) float64 { return x / y })
}

// medianDifference returns the median of a[i]-b[i], where i is the index of a round.
func medianDifference(a, b []float64) float64 {
	return medianOf(a, b, func(x, y float64) float64 { return x - y })
}

func medianOf(a, b []float64, compare func(x, y float64) float64) float64 {
	out := make([]float64, len(a))
	for i := range out {
		out[i] = compare(a[i], b[i])
	}
	return median(out)
}

// quantile returns a quantile of sorted durations, in nanoseconds. The `share` parameter is a
// number from 0 to 1. For example, 0.99 selects the 99th percentile.
func quantile(sorted []time.Duration, share float64) float64 {
	return float64(sorted[min(int(share*float64(len(sorted))), len(sorted)-1)])
}

// report reports figures, by unit, on a line with the given name. It sets ns/op to 0, because
// the duration of the benchmark itself has no meaning.
func report(b *testing.B, name string, figures map[string]float64) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		for unit, value := range figures {
			b.ReportMetric(value, unit)
		}
		b.ReportMetric(0, "ns/op")
	})
}
