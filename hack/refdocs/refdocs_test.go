package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// TestPagesAreUpToDate compares the pages in docs/reference with the output of their generators.
func TestPagesAreUpToDate(t *testing.T) {
	const project = "../.."
	for name, generate := range generators {
		want, err := generate(project)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(project, folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s/%s is out of date; `make generate` writes it (-want +got):\n%s", folder, name, diff)
		}
	}
}

// TestMetricsWithoutValue checks that a metric without a value is an error, because the table would
// lack it.
func TestMetricsWithoutValue(t *testing.T) {
	err := writeMetrics(nil, func(registry prometheus.Registerer) error {
		return registry.Register(prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hidden", Help: "Has no value."}, []string{"label"}))
	})
	if err == nil || err.Error() != "1 metrics are described, but only 0 have a value" {
		t.Error(err)
	}
}
