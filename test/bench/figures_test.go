package bench_test

import (
	"flag"
	"slices"
	"testing"
	"time"
)

// once says whether benchmarks only have to prove that they run: -benchtime=1x.
func once() bool { return flag.Lookup("test.benchtime").Value.String() == "1x" }

// choose gives a number for a run that counts, or one for a run that proves
// that the benchmark works.
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

// medianRatio compares what was measured in the same rounds.
func medianRatio(a, b []float64) float64 {
	return medianOf(a, b, func(x, y float64) float64 { return x / y })
}

// medianDifference compares what was measured in the same rounds.
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

// quantile gives the value that a share of all, which are sorted, do not
// exceed, in nanoseconds.
func quantile(sorted []time.Duration, share float64) float64 {
	return float64(sorted[min(int(share*float64(len(sorted))), len(sorted)-1)])
}

// report gives a row of figures, without the time of the benchmark itself,
// which says nothing.
func report(b *testing.B, name string, figures map[string]float64) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		for unit, value := range figures {
			b.ReportMetric(value, unit)
		}
		b.ReportMetric(0, "ns/op")
	})
}
