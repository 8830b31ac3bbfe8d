package bench_test

import (
	"flag"
	"slices"
	"testing"
	"time"
)

// once reports whether benchmarks only have to show that they run: -benchtime=1x.
func once() bool { return flag.Lookup("test.benchtime").Value.String() == "1x" }

// choose returns full, or proof if the run only shows that the benchmark works.
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

// medianRatio returns the median of the ratios of the same rounds.
func medianRatio(a, b []float64) float64 {
	return medianOf(a, b, func(x, y float64) float64 { return x / y })
}

// medianDifference returns the median of the differences of the same rounds.
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

// quantile returns the value in nanoseconds that the given share of the sorted
// values does not exceed.
func quantile(sorted []time.Duration, share float64) float64 {
	return float64(sorted[min(int(share*float64(len(sorted))), len(sorted)-1)])
}

// report reports a row of figures. It hides the time of the benchmark itself, which
// means nothing.
func report(b *testing.B, name string, figures map[string]float64) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		for unit, value := range figures {
			b.ReportMetric(value, unit)
		}
		b.ReportMetric(0, "ns/op")
	})
}
